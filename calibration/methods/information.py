"""What a Jacobian over a few seeds says of the parameters, without what its own noise adds to it.

With J_s the derivative of one seed's curve by the unconstrained coordinates, J their mean over S seeds, W the whitener
of the data around the curve and s the spreads of the prior, the information relative to the prior is

    F = diag(s) J' W' W J diag(s) - N,   N = sum_s (E_s - E)' (E_s - E) / (S (S - 1)),   E_s = W J_s diag(s):

a mean of noise has a length as well, and N is what it adds on average. What is left of pure noise is 0 on average, and
still above the prior's own information in many a draw. So nothing is called identified on F alone: along a direction
v, the ratio of v' E' E v to v' N v is that of two mean squares, and only what is above c N is sure, c the 80 % point of
Fisher's F with d and d (S - 1) degrees of freedom. d says how many the noise of a derivative has over the D values of
its curve: 1 / d is the mean squared cosine of the noises of two seeds (of independent contrasts over them) or two
coordinates, 1 where noise only ever lifts a whole curve. Noises of two coordinates that hang together make d smaller,
and the verdict more careful.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert
from scipy.stats import f

from lpm.calibration.estimators.jacobian import Jacobian
from lpm.types import HostArray

SURE = 0.8
"""Share of pure noise that is told to be some. Of two to four seeds on small epidemics 0.8 called 13 to 17 % of what is
not identified so (J'J alone 85 to 95 %), and missed 20 to 10 % of what is; 0.9 called 10 to 17 % and missed 26 to
13 %."""

STOP, SETTLED = 0.98, 0.5
"""Seeds are enough when at least half of what F and the prior say together is sure in every direction, and that by the
98 % point, as there may be several looks."""


@dataclass(frozen=True)
class Information:
    """What a Jacobian says, in spreads of the prior, whose own information is 1 in every direction.

    Attributes:
        matrix: float64 [P, P], F: eigenvalues may be below 0 by chance.
        noise: float64 [P, P], N, 0 where no seed was drawn.
        seeds: Seeds S.
        slope: float64 [D, P], E.
        each: float64 [S, D, P], E_s.
        spread: float64 [P], s.
    """

    matrix: HostArray
    noise: HostArray
    seeds: int
    slope: HostArray
    each: HostArray
    spread: HostArray

    @property
    def surely(self) -> HostArray:
        """What is above the noise for sure, [P, P]: E'E - c N."""
        return self.above(SURE)

    def above(self, share: float) -> HostArray:
        """Return what is above this share of pure noise, [P, P]."""
        if self.seeds < 2:
            return self.matrix
        d = freedom(self.each)
        return self.matrix - (float(f.ppf(share, d, d * (self.seeds - 1))) - 1) * self.noise

    @property
    def covariance(self) -> HostArray:
        """Covariance of the unconstrained coordinates, [P, P], with the prior's information."""
        return left(self.matrix) * np.outer(self.spread, self.spread)

    @property
    def settled(self) -> bool:
        """Whether further seeds would hardly change what is said."""
        if self.seeds < 2:
            return True
        root = np.linalg.cholesky(left(self.matrix))
        sure = np.linalg.inv(left(self.above(STOP)))
        return bool(np.linalg.eigvalsh(root.T @ sure @ root).min() >= SETTLED)


def information(found: Jacobian, white: HostArray, spread: HostArray) -> Information:
    """Return what a Jacobian says.

    Args:
        found: The Jacobian over S seeds.
        white: W [D, D] (`lpm.calibration.methods.weights.whitener`).
        spread: Spreads of the prior [P].
    """
    slope = white @ found.jacobian * spread
    each = np.einsum("de,sep->sdp", white, found.each) * spread
    count = len(each)
    off = each - each.mean(0)
    noise = np.einsum("sdp,sdq->pq", off, off) / (count * max(count - 1, 1))
    return Information(slope.T @ slope - noise, noise, count, slope, each, spread)


def freedom(each: HostArray) -> float:
    """Return d, the degrees of freedom of noise, from derivatives [S, D, P]; 1 where nothing tells."""
    vectors = np.einsum("rs,sdp->rpd", helmert(len(each)), each).reshape(-1, each.shape[1])
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors[lengths > 0] / lengths[lengths > 0, None]
    count = len(unit)
    if count < 2:
        return 1.0
    squares = ((unit @ unit.T) ** 2).sum() - count
    return float(np.clip(count * (count - 1) / max(squares, 1e-12), 1, each.shape[1]))


def left(matrix: HostArray) -> HostArray:
    """Return the covariance [P, P], in spreads of the prior, that an information leaves; below 0 it counts as none."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors / (1 + np.maximum(values, 0))) @ vectors.T


def grown(
    found: Jacobian,
    jac: Callable[[HostArray], Jacobian],
    seeds: HostArray,
    enough: Callable[[Jacobian], bool],
    room: Callable[[], float] = lambda: math.inf,
) -> Jacobian:
    """Return a Jacobian over the first of some seeds and over ever more of them until it is enough.

    Args:
        found: The one over the first seeds.
        jac: Gives it over others.
        seeds: All seeds [S]; none of the first is drawn again.
        enough: Whether a Jacobian will do.
        room: For how many more seeds there is room.
    """
    used = len(found.each)
    while not enough(found) and used < len(seeds):
        count = int(min(used, len(seeds) - used, room()))
        if count < 1:
            break
        more = jac(seeds[used : used + count])
        each = np.concatenate([found.each, more.each])
        found = Jacobian(found.mean, each.mean(0), found.covariance, each, found.simulations + more.simulations)
        used += count
    return found
