"""What goes wrong in a calibration, each by its own name."""

from __future__ import annotations

from lpm.errors import InputError


class CalibrationError(InputError):
    """Anything that a calibration refuses; the base of the errors below."""


class ZeroGradientError(CalibrationError):
    """No observed value moves with a parameter."""


class NotFiniteError(CalibrationError):
    """A simulation, a residual or a derivative is NaN or infinite."""


class AfterAsOfError(CalibrationError):
    """An observed value is of a day after the date on which it is said to be known."""


class AtBoundError(CalibrationError):
    """An estimate lies at the edge of what its prior allows."""


class UnidentifiedError(CalibrationError):
    """The data say nothing about a direction of the parameters."""


class NotCommonError(CalibrationError):
    """The same parameters and seed gave two different trajectories: differences of them are noise."""


class UnusableError(CalibrationError):
    """An estimator needs something that the simulator does not have."""


class BiasedError(CalibrationError):
    """A gradient check found an estimator too far from the truth."""
