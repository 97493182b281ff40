"""Devices that a run can be planned for: memory, bandwidth and links as published, and the machine at hand.

Figures of the table are peaks that makers publish, not verified against the originals; nothing in it is measured here.
A kernel never reaches a peak, so what is predicted from one takes a share of it (`STREAMED`, `SCATTERED`, `LINKED`),
and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lpm.errors import unknown

STREAMED = 0.8
"""Share of the peak that reading and writing in order reaches. 88 % of an A100's 2,039 GB/s is reported of tuned
kernels (fridayswithfaraday.com, "GPU memory bandwidth optimization", 2020); the rest off is a guess."""

SCATTERED = 0.5
"""Share of the peak that fetching one sector for every look-up at random reaches. A guess."""

LINKED = 0.7
"""Share of the peak of the links that an exchange between all devices reaches. A guess."""

USABLE = 0.9
"""Share of a device's memory that arrays can fill; the rest is the runtime's. A guess."""


@dataclass(frozen=True)
class Device:
    """What is known of one device.

    Attributes:
        name: What `--device` calls it.
        title: What people call it.
        kind: "gpu" or "cpu".
        memory: Bytes of its memory.
        bandwidth: Bytes a second between it and its memory.
        cache: Bytes of its last cache.
        cache_bandwidth: Bytes a second out of that cache.
        sector: Bytes that one look-up at random fetches.
        link: Bytes a second that it can send (and as many receive) to its neighbours in one machine.
        launch: Seconds that an operation takes to begin.
        source: Where the figures are from.
    """

    name: str
    title: str
    kind: str
    memory: int
    bandwidth: float
    cache: int
    cache_bandwidth: float
    sector: int
    link: float
    launch: float
    source: str


LAUNCH = 4e-6
"""Seconds until a GPU operation has begun and ended, beside others in one compiled program. A guess."""

CACHE_FACTOR = 2.5
"""Bandwidth of a GPU's last cache by that of its memory. A guess: makers publish it for few (AMD: 17 of 5.3 TB/s,
servethehome.com, "AMD Instinct MI300X GPU and MI300A APUs launched", 2023)."""


def _gpu(name: str, title: str, gigabytes: int, gb_s: float, megabytes: int, links: float, source: str) -> Device:
    """Return a GPU.

    Args:
        name: See `Device`.
        title: See `Device`.
        gigabytes: Memory, 1e9 bytes.
        gb_s: Bandwidth of the memory, 1e9 bytes a second.
        megabytes: Last cache, 2^20 bytes.
        links: GB/s of its links, both directions together, as makers tell it.
        source: See `Device`.
    """
    sector = 128 if name.startswith("mi") else 32  # CUDA C++ Best Practices Guide, 9.2.1: 32-byte transactions
    bandwidth = gb_s * 1e9
    return Device(
        name, title, "gpu", gigabytes * 10**9, bandwidth, megabytes * 2**20, bandwidth * CACHE_FACTOR, sector,
        links / 2 * 1e9, LAUNCH, source,
    )  # fmt: skip


DEVICES: Mapping[str, Device] = {
    each.name: each
    for each in (
        _gpu("b200", "NVIDIA B200, HGX", 180, 8000, 126, 1800, "NVIDIA HGX B200 datasheet, 2024; cache: guess"),
        _gpu("h200", "NVIDIA H200 SXM", 141, 4800, 50, 900, "NVIDIA H200 datasheet, 2024: 141 GB, 4.8 TB/s, 900 GB/s"),
        _gpu("h100", "NVIDIA H100 SXM", 80, 3350, 50, 900, "NVIDIA H100 datasheet, 2023: 80 GB, 3.35 TB/s, 900 GB/s"),
        _gpu("a100", "NVIDIA A100 SXM 80 GB", 80, 2039, 40, 600, "NVIDIA A100 datasheet, 2021: 2,039 GB/s, 600 GB/s"),
        _gpu("l40s", "NVIDIA L40S", 48, 864, 96, 64, "NVIDIA L40S datasheet, 2023: 864 GB/s, PCIe 4.0 x16 64 GB/s"),
        _gpu("l4", "NVIDIA L4", 24, 300, 48, 64, "NVIDIA L4 datasheet, 2023: 300 GB/s, PCIe 4.0 x16 64 GB/s"),
        _gpu("v100", "NVIDIA V100 SXM2 32 GB", 32, 900, 6, 300, "NVIDIA V100 datasheet, 2020: 900 GB/s, 300 GB/s"),
        _gpu("mi300x", "AMD MI300X", 192, 5300, 256, 896, "AMD Instinct MI300X data sheet, 2023: 5.3 TB/s, 896 GB/s"),
    )
}
"""Devices by name; peaks from their makers' data sheets."""

HERE = "cpu"
"""The name of the machine at hand, where it has no accelerator; its figures are measured."""


def find(name: str) -> Device | None:
    """Return a device of the table by name, None for the machine at hand.

    Raises:
        InputError: There is none of that name; the nearest is suggested.
    """
    if name.lower() in (HERE, "here"):
        return None
    if name.lower() not in DEVICES:
        raise unknown("--device", "device", name, (*DEVICES, HERE))
    return DEVICES[name.lower()]


def match(kind: str) -> Device | None:
    """Return the device of the table that a runtime's own name for it means ("NVIDIA H200"), None where none does."""
    told = kind.lower().replace("-", " ").split()
    return next((device for name, device in DEVICES.items() if name in told), None)
