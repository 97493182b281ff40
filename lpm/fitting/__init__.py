"""Calibrating a scenario: what joins `lpm.scenarios` and `lpm.calibration` for `lpm calibrate`."""
