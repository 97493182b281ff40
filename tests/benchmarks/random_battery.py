"""Write draws of one axis to stdout as raw bytes, for a test battery that reads 32-bit words from a pipe.

    python tests/benchmarks/random_battery.py agent | dieharder -a -g 200
    python tests/benchmarks/random_battery.py edge --gib 8 | RNG_test stdin32

The formulas of lpm/random.py are written a second time here, in NumPy, from their description; tests/test_random.py
holds the two together. Every axis is an order in which neighbouring names follow each other:

    agent    ids 0, 1, 2, ... under one key
    high     high words of the id 0, 1, 2, ... with the low word fixed
    step     for each of 16 agents in turn, all steps 0, 1, 2, ... in blocks of 4096
    blocks   1000 agents at step 0, the same agents at step 1, ...
    edge     (layer, source, target, multiplicity): sources x targets in squares of 1024, both directions of a tie
             (targets start at 2^21, so that no tie comes twice)
    layers   one tie at layers 0..7 and multiplicities 0..7, then the next tie
    stream   one draw of one agent for each of 64 seeds x 8 instances x 8 purposes, steps advancing
    arity    tuples (id,), (id, 0), (0, id), (id, 0, 0), ids 0, 1, 2, ...

See tests/benchmarks/RANDOM.md for what was run and what came out.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint32]
KeyWords: TypeAlias = tuple[Words, Words, Words, Words]
U = np.uint32
BATCH = 1 << 18


def threefry(key: KeyWords, counter: KeyWords) -> KeyWords:
    """Return Threefry-4x32-20 of counters under keys, elementwise (Salmon et al. 2011)."""
    turns = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
    schedule = [*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ U(0x1BD11BDA)]
    x0, x1, x2, x3 = (c + k for c, k in zip(counter, key, strict=True))
    for group in range(5):
        for r in range(4):
            first, second = (U(t) for t in turns[(4 * group + r) % 8])
            x0 = x0 + x1
            x2 = x2 + x3
            x1 = (x1 << first | x1 >> (U(32) - first)) ^ x0
            x3 = (x3 << second | x3 >> (U(32) - second)) ^ x2
            x1, x3 = x3, x1  # the lanes of odd positions change places after every round
        d = group + 1
        x0, x1 = x0 + schedule[d % 5], x1 + schedule[(d + 1) % 5]
        x2, x3 = x2 + schedule[(d + 2) % 5], x3 + schedule[(d + 3) % 5] + U(d)
    return x0, x1, x2, x3


def vector(*values: int | Words) -> list[Words]:
    """Return each value as a uint32 array of at least one element (NumPy warns of overflow only in scalars)."""
    return [np.atleast_1d(np.asarray(v, U)) for v in values]


def fold(key: KeyWords, low: int | Words, high: int | Words, tag: int) -> KeyWords:
    """Return the key folded with a 64-bit value of a kind: 0 seed, 1 step, 2 instance, 3 purpose."""
    c0, c1, c2, c3 = vector(low, high, tag, 0)
    return threefry(key, (c0, c1, c2, c3))


def named(key: KeyWords, name: str, tag: int) -> KeyWords:
    """Return the key folded with the first 64 bits of the name's SHA-256."""
    low, high = np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], "<u4")
    return fold(key, int(low), int(high), tag)


def stream(seed: int | Words = 1, instance: str = "kernel", step: int | Words = 0, purpose: str = "draw") -> KeyWords:
    """Return the key of one stream, or of many where the seed (low words) or the step is an array."""
    return named(fold(named(seeded(seed), instance, 2), step, 0, 1), purpose, 3)


def seeded(seed: int | Words) -> KeyWords:
    """Return the root key of stream version 1 for a seed below 2^32."""
    r0, r1, r2, r3 = vector(1, 0x243F6A88, 0x85A308D3, 0x13198A2E)
    return fold((r0, r1, r2, r3), seed, 0, 0)


def hashed(key: KeyWords, *words: int | Words) -> Words:
    """Return the draws of tuples of words under a key, broadcast."""

    def cross(x: Words, multiplier: int) -> Words:
        y = (x ^ (x >> U(16))) * U(multiplier)
        return y ^ (y >> U(15))

    given = vector(*words)
    a, b = key[0], key[1] + U(len(given) * 0x9E3779B9 % 2**32)
    for w in [given[-1], *given[:-1]]:
        a = cross(a ^ w, 0x21F0AAAD)
        b = cross(b + a, 0xD35A2D97)
        a = a + b
    a = cross(a ^ key[2], 0x85EBCA6B)
    b = cross((b ^ key[3]) + a, 0xC2B2AE35)
    c = (a + b) * U(0xED5AD4BB)
    return c ^ (c >> U(16))


def counted(start: int, n: int = BATCH) -> Words:
    """Return the 32-bit integers start, start + 1, ..."""
    return (np.arange(start, start + n, dtype=np.uint64) & np.uint64(0xFFFFFFFF)).astype(U)


def agent(seed: int = 1) -> Iterator[Words]:
    """Ids 0, 1, 2, ... under one key; after 2^32 of them the high word advances."""
    key = stream(seed)
    for start in range(0, 1 << 62, BATCH):
        yield hashed(key, counted(start), start >> 32)


def high(seed: int = 1) -> Iterator[Words]:
    """High words 0, 1, 2, ...; the low word advances after 2^32 of them."""
    key = stream(seed)
    for start in range(0, 1 << 62, BATCH):
        yield hashed(key, start >> 32, counted(start))


def step(seed: int = 1) -> Iterator[Words]:
    """Each of 16 agents along 4096 steps, then the next 4096 steps."""
    for start in range(0, 1 << 32, 4096):
        yield hashed(stream(seed, step=counted(start, 4096)), counted(0, 16)[:, None], 0)


def blocks(seed: int = 1) -> Iterator[Words]:
    """The same 1000 agents at step after step."""
    for start in range(0, 1 << 32, 256):
        key = stream(seed, step=counted(start, 256))
        yield hashed(tuple(k[:, None] for k in key), counted(0, 1000), 0)  # type: ignore[arg-type]


def edge(seed: int = 1) -> Iterator[Words]:
    """Squares of 1024 sources x 1024 targets; in each row both directions of a tie side by side."""
    key = stream(seed)
    for corner in range(1 << 22):
        sources = counted(1024 * (corner >> 11), 1024)[:, None]
        targets = counted((1 << 21) + 1024 * (corner & 2047), 1024)
        yield np.stack([hashed(key, 2, sources, targets, 0), hashed(key, 2, targets, sources, 0)], axis=-1)


def layers(seed: int = 1) -> Iterator[Words]:
    """One tie at 8 layers x 8 multiplicities, then the next tie."""
    key = stream(seed)
    grid = counted(0, 64)
    for start in range(0, 1 << 40, 4096):
        tie = counted(start, 4096)[:, None]
        yield hashed(key, grid >> U(3), tie >> U(6), tie & U(63), grid & U(7))


def streams(seed: int = 1) -> Iterator[Words]:
    """One agent's draw under 64 seeds x 8 instances x 8 purposes, for steps 0, 1, 2, ... ."""
    instances = [named(seeded(counted(64 * (seed - 1), 64)), f"strain {i}", 2) for i in range(8)]
    for start in range(0, 1 << 32, 128):
        steps = counted(start, 128)[:, None]
        at_steps = [fold(key, steps, 0, 1) for key in instances]
        kinds = [hashed(named(key, f"purpose {j}", 3), 12345, 0) for key in at_steps for j in range(8)]
        yield np.stack(kinds, axis=-1)


def arity(seed: int = 1) -> Iterator[Words]:
    """Tuples of one, two and three words around the same id."""
    key = stream(seed)
    for start in range(0, 1 << 32, BATCH):
        ids = counted(start)
        tuples = ((ids,), (ids, 0), (0, ids), (ids, 0, 0))
        yield np.stack([hashed(key, *words) for words in tuples], axis=-1)


AXES: dict[str, Callable[[int], Iterator[Words]]] = {
    "agent": agent,
    "high": high,
    "step": step,
    "blocks": blocks,
    "edge": edge,
    "layers": layers,
    "stream": streams,
    "arity": arity,
}


def main() -> None:
    """Write until the reader has had enough or the amount is reached."""
    parser = argparse.ArgumentParser(description="raw 32-bit draws of one axis on stdout")
    parser.add_argument("axis", choices=list(AXES))
    parser.add_argument("--gib", type=float, default=float("inf"), help="stop after so many GiB (default: never)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the draws, to repeat a test on others")
    wanted = parser.parse_args()
    left = wanted.gib * 2**30
    try:
        for batch in AXES[wanted.axis](wanted.seed):
            data = np.ascontiguousarray(batch, "<u4").tobytes()
            sys.stdout.buffer.write(data if len(data) <= left else data[: int(left)])
            left -= len(data)
            if left <= 0:
                break
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the battery has seen enough
        sys.stderr.close()


if __name__ == "__main__":
    main()
