"""Whether plain loops work here: tried once in a process of its own, so that a crash is a verdict and not the end.

The verdict is kept on disk by the versions of jaxlib, numba and these loops and by the processor.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PASSED = "passed"
LIMIT = 300  # seconds; compiling takes a few
ON_TRIAL = "LPM_LOOPS_ON_TRIAL"  # set in the process that tries them


@functools.cache
def verdict() -> str:
    """Return "" where loops work, else why not."""
    if ON_TRIAL in os.environ:
        return ""
    file = _file()
    if file.is_file():
        try:
            kept = json.loads(file.read_text())
            return str(kept["reason"])
        except (ValueError, KeyError, OSError):
            pass  # a torn file: try again and write it anew
    reason, lasting = _tried()
    if not lasting:
        return reason
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"reason": reason}))
        new.replace(file)
    except OSError:
        pass  # nowhere to keep it: tried again next time
    return reason


def _file() -> Path:
    import llvmlite.binding
    import pooch

    from lpm.ops.loops.foreign import digest

    names = (version("jaxlib"), version("numba"), llvmlite.binding.get_host_cpu_name(), platform.python_version())
    return Path(str(pooch.os_cache("lpm"))) / f"loops-{'-'.join(names)}-{digest()}.json"


def _tried() -> tuple[str, bool]:
    """Return why loops do not work, and whether that was found out: this file runs in a process of its own."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", ON_TRIAL: "1"}
    command = [sys.executable, "-c", "from lpm.ops.loops.trust import main; main()"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the self-test could not run: {error}", False
    if done.returncode == 0 and PASSED in done.stdout:
        return "", True
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return f"the self-test failed: {last[0]}", True


def main() -> None:
    """Compare a loop with the XLA reference inside a compiled loop: alone, on two devices at once, and in a batch."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import Mesh
    from jax.sharding import PartitionSpec as P

    from lpm.network import Network, layout
    from lpm.ops.collective import AXIS
    from lpm.ops.dispatch import using
    from lpm.ops.neighbours import sum_neighbours

    size = 4_000
    chance = np.random.default_rng(1)
    ends = np.concatenate([[0], np.cumsum(chance.integers(0, 20, size))])
    network = Network(size, ends, chance.integers(0, size, ends[-1]).astype(np.int32))

    def steps(layer: object, x: object) -> object:
        def one(_: object, x: object) -> object:
            seen, near = sum_neighbours(layer, lambda s, r, c: (s > 7, jnp.abs(s - r) <= 30), x, x)  # type: ignore[arg-type]
            return (x + seen + near) % 101  # type: ignore[operator]

        return jax.lax.fori_loop(0, 20, one, x)

    def found(backend: str, shards: int) -> np.ndarray:
        layer = layout(network, shards)
        spread = P(AXIS)
        mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))
        run = jax.jit(jax.shard_map(steps, mesh=mesh, in_specs=(spread, spread), out_specs=spread, check_vma=False))
        with using(backend):
            return np.asarray(run(layer, np.arange(size, dtype=np.int32) % 101))

    expected = found("xla", 1)
    for shards in (1, 2):
        if not np.array_equal(found("numba", shards), expected):
            raise SystemExit(f"loops and XLA differ on {shards} devices")
    with using("numba"):
        given = (np.arange(size, dtype=np.int32) + np.arange(0, 300, 100, dtype=np.int32)[:, None]) % 101
        batch = np.asarray(jax.jit(jax.vmap(steps, (None, 0)))(layout(network), given))
        alone = jax.jit(steps)
        if any(not np.array_equal(batch[i], alone(layout(network), given[i])) for i in range(len(given))):
            raise SystemExit("loops differ in a batch")
    print(PASSED)
