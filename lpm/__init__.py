"""lpm: large population models in JAX.

A population is a set of tables whose columns live on the accelerator, behaviour is a short list of jitted kernels, and
a policy question is two arms of one scenario. Public names are imported when first used, so that `import lpm` is quick.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if not (_Path(__file__).parent / "kernels").is_dir():  # a checkout whose symlinks were lost (Windows, zip)
    __path__.append(str(_Path(__file__).resolve().parents[1]))

# Compiled loops share the cores with threads of XLA, so a thread that waits must sleep and not spin: beside other work
# a loop of 0.1 ms took 4 to 8. OpenMP reads this once, when the first loop of the process runs in parallel.
_os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lpm.calling import calibrate as calibrate
    from lpm.calling import run as run
    from lpm.calling import sweep as sweep
    from lpm.errors import Fault as Fault
    from lpm.errors import InputError as InputError
    from lpm.kernel import Kernel as Kernel
    from lpm.kernel import parameter as parameter
    from lpm.kernel import register as register
    from lpm.network import Network as Network
    from lpm.planning.asked import plan as plan
    from lpm.population import Column as Column
    from lpm.population import Population as Population

_HOME = {
    "Fault": "lpm.errors",
    "InputError": "lpm.errors",
    "Kernel": "lpm.kernel",
    "parameter": "lpm.kernel",
    "register": "lpm.kernel",
    "Network": "lpm.network",
    "Column": "lpm.population",
    "Population": "lpm.population",
    "run": "lpm.calling",
    "calibrate": "lpm.calling",
    "sweep": "lpm.calling",
    "plan": "lpm.planning.asked",
}
__all__ = [
    "Fault", "InputError", "Kernel", "parameter", "register", "Network", "Column", "Population", "run",
    "calibrate", "sweep", "plan", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used (PEP 562)."""
    if name in _HOME:
        return getattr(_importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'lpm' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
