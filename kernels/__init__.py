"""The dynamics, one file each; the imports below are the table of contents. Imported as lpm.kernels."""

if __name__ != "lpm.kernels":  # a bare `import kernels` from the checkout root would make a second copy of every class
    raise ImportError("import it as lpm.kernels")

from lpm.kernels.diffusion import importation as importation  # noqa: E402
from lpm.kernels.diffusion import seir as seir  # noqa: E402
from lpm.kernels.diffusion import sir as sir  # noqa: E402
from lpm.kernels.polarization import degroot as degroot  # noqa: E402
