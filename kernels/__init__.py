"""The dynamics, one file each; the imports below are the table of contents. Imported as lpm.kernels."""

if __name__ != "lpm.kernels":  # a bare `import kernels` from the checkout root would make a second copy of every class
    raise ImportError("import it as lpm.kernels")

from lpm.kernels.decision import archetype_choice as archetype_choice  # noqa: E402
from lpm.kernels.decision import compliance as compliance  # noqa: E402
from lpm.kernels.diffusion import bass as bass  # noqa: E402
from lpm.kernels.diffusion import complex_contagion as complex_contagion  # noqa: E402
from lpm.kernels.diffusion import framed_feed as framed_feed  # noqa: E402
from lpm.kernels.diffusion import importation as importation  # noqa: E402
from lpm.kernels.diffusion import independent_cascade as independent_cascade  # noqa: E402
from lpm.kernels.diffusion import linear_threshold as linear_threshold  # noqa: E402
from lpm.kernels.diffusion import message as message  # noqa: E402
from lpm.kernels.diffusion import seir as seir  # noqa: E402
from lpm.kernels.diffusion import si as si  # noqa: E402
from lpm.kernels.diffusion import sir as sir  # noqa: E402
from lpm.kernels.diffusion import sis as sis  # noqa: E402
from lpm.kernels.herding import ants as ants  # noqa: E402
from lpm.kernels.herding import crowd as crowd  # noqa: E402
from lpm.kernels.herding import herd_market as herd_market  # noqa: E402
from lpm.kernels.herding import information_cascade as information_cascade  # noqa: E402
from lpm.kernels.herding import lux_market as lux_market  # noqa: E402
from lpm.kernels.herding import music_market as music_market  # noqa: E402
from lpm.kernels.herding import social_voting as social_voting  # noqa: E402
from lpm.kernels.polarization import axelrod as axelrod  # noqa: E402
from lpm.kernels.polarization import biased_assimilation as biased_assimilation  # noqa: E402
from lpm.kernels.polarization import coevolving_voter as coevolving_voter  # noqa: E402
from lpm.kernels.polarization import deffuant as deffuant  # noqa: E402
from lpm.kernels.polarization import degroot as degroot  # noqa: E402
from lpm.kernels.polarization import estimate_revision as estimate_revision  # noqa: E402
from lpm.kernels.polarization import friedkin_johnsen as friedkin_johnsen  # noqa: E402
from lpm.kernels.polarization import hegselmann_krause as hegselmann_krause  # noqa: E402
from lpm.kernels.polarization import majority as majority  # noqa: E402
from lpm.kernels.polarization import persuasion as persuasion  # noqa: E402
from lpm.kernels.polarization import q_voter as q_voter  # noqa: E402
from lpm.kernels.polarization import repulsion as repulsion  # noqa: E402
from lpm.kernels.polarization import voter as voter  # noqa: E402
