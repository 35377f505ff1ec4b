"""What a figure was measured on: hardware and versions, and nothing that names the machine or its owner."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "zarr", "numpy", "xarray", "snakemake")


def describe_machine() -> dict[str, object]:
    """Cores, processor, memory in GB, GPU and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": cores(),
        "processor": processor(),
        "memory_gb": round(memory / 1e9),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
    }


def cores() -> int | None:
    """Cores that this process may use; where the system does not say, those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor(path: Path = Path("/proc/cpuinfo")) -> str:
    """Model of the processor, or its architecture where the system does not say."""
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models and models[0] else platform.machine()


def in_a_line(machine: dict) -> str:
    """A machine in words, short enough to stand under a table."""
    words = [f"{machine['cores']} cores", str(machine["processor"]), f"{machine['memory_gb']} GB"]
    return ", ".join([*words, *([str(machine["gpu"])] if machine["gpu"] else [])])
