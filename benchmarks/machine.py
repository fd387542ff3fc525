"""What the numbers were measured on: without it they mean nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

PACKAGES = ("bargein", "openai", "transitions", "aiohttp", "anyio", "msgspec")


class MachineFacts(Struct, frozen=True):
    """The machine, its software, and how busy it was with other work when the run began."""

    processor: str
    processors: int
    memory_gb: float | None
    system: str
    python: str
    versions: dict[str, str]
    load_before: float | None
    day: str


def facts() -> MachineFacts:
    """Describe this machine, now."""
    return MachineFacts(
        processor=_processor(),
        processors=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={name: _version(name) for name in PACKAGES},
        load_before=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        day=datetime.now(UTC).date().isoformat(),
    )


def describe(machine: MachineFacts) -> str:
    """The facts as a sentence or two."""
    memory = "" if machine.memory_gb is None else f", {machine.memory_gb:.0f} GB of memory"
    busy = "" if machine.load_before is None else f" Load before the run: {machine.load_before}."
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"Measured on {machine.day}: {machine.processors} × {machine.processor}{memory}, {machine.system}, "
        f"{machine.python}, {versions}.{busy}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return round(pages * size / 2**30, 1)
