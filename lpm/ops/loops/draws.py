"""The draws of `lpm.random` inside a loop: every operation cast back to 32 bits, as numba widens them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from lpm.random import GOLDEN, M0, M1, M2, M3, M4, MASK

U = np.uint32
START = U(2 * GOLDEN & MASK)
FIRST, SECOND, THIRD, FOURTH, LAST = U(M0), U(M1), U(M2), U(M3), U(M4)


@numba.njit(inline="always")
def mixed(x: Any, multiplier: Any) -> Any:
    """Return X(x, multiplier), the step of the hash."""
    y = U(U(x ^ (x >> U(16))) * multiplier)
    return U(y ^ (y >> U(15)))


@numba.njit(inline="always")
def bits_of_two(k0: Any, k1: Any, k2: Any, k3: Any, one: Any, two: Any) -> Any:
    """Return `lpm.random.bits(key, one, two)` from the key's four words."""
    a, b = k0, U(k1 + START)
    a = mixed(U(a ^ two), FIRST)
    b = mixed(U(b + a), SECOND)
    a = U(a + b)
    a = mixed(U(a ^ one), FIRST)
    b = mixed(U(b + a), SECOND)
    a = U(a + b)
    a = mixed(U(a ^ k2), THIRD)
    b = mixed(U(U(b ^ k3) + a), FOURTH)
    c = U(U(a + b) * LAST)
    return U(c ^ (c >> U(16)))
