"""What this process may have, and how many runs fit into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lpm import memory
from lpm.errors import InputError


def _groups(tmp_path: Path, files: dict[str, str], own: str) -> tuple[Path, Path]:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    named = tmp_path / "own"
    named.write_text(own)
    return root, named


def test_the_machine_limits_and_a_given_limit_wins() -> None:
    found = memory.limits()
    assert memory.resident() < found["free memory of the machine"]
    assert 0 < memory.memory_limit() <= found["free memory of the machine"]
    assert memory.memory_limit(123) == 123
    assert memory.memory_limit(10**15) == 10**15  # also one above what there is: who says so knows


def test_groups_of_version_2_limit_by_what_others_leave(tmp_path: Path) -> None:
    held = memory.resident()
    used, idle = held + 300_000_000, 100_000_000
    files = {
        "a/b/memory.max": "max\n",
        "a/memory.max": "2000000000\n",
        "a/memory.current": f"{used}\n",
        "a/memory.stat": f"anon 5\ninactive_file {idle}\nactive_file 7\n",
    }
    root, own = _groups(tmp_path, files, "0::/a/b\n")
    left = memory.limits(root, own)["control group"]
    assert abs(left - (2_000_000_000 - 200_000_000)) < 50_000_000  # this process grows between the two looks


def test_groups_of_version_1_limit_and_no_limit_is_none(tmp_path: Path) -> None:
    files = {
        "memory/x/memory.limit_in_bytes": "1000000000\n",
        "memory/x/memory.usage_in_bytes": "1000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root, own = _groups(tmp_path, files, "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n")
    assert memory.limits(root, own)["control group"] == 1_000_000_000
    (root / "memory/x/memory.limit_in_bytes").unlink()
    assert "control group" not in memory.limits(root, own)


def test_a_limit_of_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    def limited(kind: int) -> tuple[int, int]:
        return (10**12, -1) if kind == resource.RLIMIT_AS else (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    monkeypatch.setattr(resource, "getrlimit", limited)
    found = memory.limits()
    assert 0 < found["address space (ulimit -v)"] < 10**12
    assert "data segment (ulimit -d)" not in found


@pytest.mark.parametrize(
    ("each", "limit", "taken", "most", "fits"),
    [(10, 1000, 0, None, 85), (10, 1000, 800, None, 5), (10, 1000, 840, None, 1), (1, 1000, 0, 64, 64)],
)
def test_as_many_runs_as_fit(each: int, limit: int, taken: int, most: int | None, fits: int) -> None:
    assert memory.batch_size(each, limit, taken=taken, most=most) == fits


def test_a_run_that_does_not_fit_is_refused_in_a_line() -> None:
    with pytest.raises(InputError, match=r"one run takes 3\.0 GB .* the limit is 2\.0 GB"):
        memory.batch_size(3 * 10**9, 2 * 10**9, taken=0)


@pytest.mark.parametrize(
    ("text", "count"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800mb", 8 * 10**8), ("12", 12)]
)
def test_amounts_of_memory(text: str, count: int) -> None:
    assert memory.bytes_of(text, "--memory") == count


@pytest.mark.parametrize("text", ["", "2 apples", "-1GB", "0", "GB", "1e9", "9" * 400])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="--memory: expected"):
        memory.bytes_of(text, "--memory")
