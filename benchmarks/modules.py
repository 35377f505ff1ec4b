"""The modules that measure, each run in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent


def module_names(folder: Path = FOLDER) -> list[str]:
    """Modules that measure something."""
    return [path.stem for path in sorted(folder.glob("*.py")) if "\ndef measure(" in path.read_text()]


def measure_module(package: str, name: str) -> dict[str, float]:
    """Figures of one module."""
    return importlib.import_module(f"{package}.{name}").measure()


def measure_apart(name: str, package: str = "benchmarks") -> dict[str, float]:
    """Figures of one module, from a fresh process: threads, memory and caches of the others are not in it.

    What goes wrong there is printed, and there are no figures.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(measure_module, package, name).result()
        except Exception:  # whatever it is, the other modules go on
            print(f"{name} failed:\n{traceback.format_exc()}")
            return {}
