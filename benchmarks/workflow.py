"""`python -m benchmarks.workflow`: what the workflow costs where it has nothing to do, with ten thousand fires.

The raw files are tiny and the products are fakes of a realistic size, which `snakemake --touch` records as if it had
made them. So what is measured is only what Snakemake and the Snakefile do themselves: look at the raw files, build the
graph, and compare every product with what it was made from.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from emberformer.layout import Layout
from emberformer.settings import Settings, parse_settings

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
FIRES, FRAMES = 10_000, 14
REPEATS = 3
DATASET = "many"
# Bytes that a product is blown up to: a few words a fire, or a digest and a row a frame.
A_FIRE, A_FRAME = 100, 75


def write_raw(root: Path, fires: int, frames: int) -> None:
    """The files of a data set, by name; no two have the same content."""
    for folder, prefix in (("fire_frames", "fire"), ("isochrones", "iso")):
        for fire in range(1, fires + 1):
            sequence = root / folder / f"sequence_{fire:05d}"
            sequence.mkdir(parents=True)
            for frame in range(frames):
                (sequence / f"{prefix}_{frame:03d}.png").write_text(f"{folder} {fire} {frame}\n" * 30)
    weathers = root / "landscape" / "Weathers"
    weathers.mkdir(parents=True)
    for fire in range(1, fires + 1):
        (weathers / f"Weather{fire}.csv").write_text(f"weather {fire}\n" * 30)
    (root / "landscape" / "indices.json").write_text(json.dumps({str(fire): [0, 9, 0, 9] for fire in range(fires)}))


def products(settings: Settings, fires: int, frames: int) -> Iterator[tuple[Path, int]]:
    """Every file that the workflow makes, and its size in bytes."""
    layout = Layout(settings)
    store, shards = layout.features(DATASET), settings.shards
    yield layout.fires(DATASET) / "zarr.json", 10_000
    yield store / ".plan" / "plan.json", fires * frames * A_FRAME
    for shard in range(shards):
        yield store / ".plan" / f"shard-{shard}.json", fires * frames * A_FRAME // shards
    yield store / "zarr.json", fires * A_FIRE
    yield layout.split, fires * A_FIRE
    for seed in settings.training.seeds:
        yield layout.model(seed) / "model.ckpt", 30_000_000
    for method in layout.methods:
        yield layout.forecasts(method, DATASET) / "zarr.json", 10_000
    for name in ("scores.csv", "differences.csv", "per_fire.csv", "reliability.csv", "thresholds.json"):
        yield layout.scores / name, fires * A_FIRE if name == "per_fire.csv" else 10_000
    yield layout.report, 3_000_000


def write_finished(folder: Path, fires: int = FIRES, frames: int = FRAMES) -> None:
    """A working folder in which everything has been computed, as far as Snakemake can see."""
    content = {
        "name": "scale",
        "datasets": {DATASET: {"root": "raw", "minutes_per_frame": 30, "bands": {"elevation": {"kind": "continuous"}}}},
        "features": {"weights": "random"},
    }
    (folder / "scale.yaml").write_text(yaml.safe_dump(content))
    write_raw(folder / "raw", fires, frames)
    for path, size in products(parse_settings(content), fires, frames):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(f"{path}\n".encode() + bytes(size))
    snakemake(folder, "--touch", "--forceall")


def snakemake(folder: Path, *arguments: str) -> str:
    """Run Snakemake in a working folder; gives what it prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [SNAKEMAKE, "--snakefile", ROOT / "Snakefile", "--directory", folder, "--cores", "2"]
    command += ["--configfile", folder / "scale.yaml", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
    return done.stdout


def dry_run(folder: Path) -> float:
    """Seconds of a dry run that finds nothing to do.

    Raises:
        RuntimeError: it found something, or nothing to compare with.
    """
    begin = time.perf_counter()
    printed = snakemake(folder, "--dry-run")
    seconds = time.perf_counter() - begin
    if "Nothing to be done" not in printed or "missing provenance" in printed:
        raise RuntimeError(printed[-3000:])
    return seconds


def start_up() -> float:
    """Seconds of `snakemake --version`."""
    begin = time.perf_counter()
    subprocess.run([SNAKEMAKE, "--version"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def measure() -> dict[str, float]:
    """All figures: seconds, and the ratio of the dry run to Snakemake's own start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_finished(folder)
        times = sorted((dry_run(folder), start_up()) for _ in range(REPEATS))
        seconds, start = times[REPEATS // 2]
        for cache in folder.rglob("sources.json"):
            cache.unlink()
        first = dry_run(folder)
    return {
        f"dry run, {FIRES} fires, nothing to do, seconds": round(seconds, 1),
        "the same, every raw file read, seconds": round(first, 1),
        "dry run / snakemake --version": round(seconds / start, 1),
    }


def main() -> None:
    """Print the figures."""
    argparse.ArgumentParser(prog="python -m benchmarks.workflow", description=__doc__).parse_args()
    for name, value in measure().items():
        print(f"{name:70s} {value:8}")


if __name__ == "__main__":
    main()
