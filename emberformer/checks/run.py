"""All checks of a configuration, in the order of the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import xarray as xr

from emberformer.atomic import write_whole
from emberformer.checks.duplicates import check_duplicates
from emberformer.checks.finding import Finding
from emberformer.checks.growth import check_growth, measure_growth
from emberformer.checks.leakage import check_content, check_ground, check_split_sizes, check_twins
from emberformer.checks.network import check_network
from emberformer.checks.target import check_target
from emberformer.checks.terrain import check_terrain
from emberformer.checks.time import check_time
from emberformer.checks.wind import check_wind
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.sampling import evenly_spaced
from emberformer.settings import Settings

TERRAIN_SHARE = 8  # terrain is read for one fire in so many: its windows overlap, and a band weighs four times a frame


def check_dataset(fires: xr.Dataset, most: int) -> list[Finding]:
    """All that a fires store alone tells.

    Args:
        fires: an open fires store.
        most: fires whose pixels are read, evenly over the store; digests, times and weather are of all.
    """
    chosen = evenly_spaced(fires.sizes["fire"], most).tolist()
    growth = measure_growth(fires, chosen)
    windows = evenly_spaced(fires.sizes["terrain"], max(1, most // TERRAIN_SHARE)).tolist()
    count = f"{fires.sizes['fire']} fires, {fires.sizes['frame']} frames of {fires.sizes['y']} x {fires.sizes['x']}"
    looked = "" if len(chosen) == fires.sizes["fire"] else f"; pixels of {len(chosen)} fires were looked at"
    size = Finding("OK", "fires", count + looked, "", {"fires": fires.sizes["fire"], "frames": fires.sizes["frame"]})
    return [
        size, *check_growth(growth), *check_target(fires), *check_time(fires), *check_wind(fires, growth),
        *check_duplicates(fires), *check_terrain(fires, windows),
    ]  # fmt: skip


def check_split(fires: Mapping[str, xr.Dataset], layout: Layout) -> list[Finding]:
    """Sizes of the splits and leakage between them."""
    split = read_split(layout.split, "report")
    by = layout.settings.split.by
    ground = [
        Finding(f.level, f"{f.subject}, {name}" if len(fires) > 1 else f.subject, f.message, f.remedy, f.numbers)
        for name, of in fires.items()
        for f in [check_ground(of, split[name], by)]
    ]
    return [check_split_sizes(split), check_content(fires, split), check_twins(fires, split), *ground]


def check(
    settings: Settings, layout: Layout, datasets: Sequence[str], most: int, device: str = "auto"
) -> dict[str, list[Finding]]:
    """Findings by what they are of: each data set, the split, the network in each of its phases but the ensemble.

    What is not made yet is said and left out; a data set must have been read.

    Args:
        settings: the configuration.
        layout: its paths.
        datasets: whose fires are looked at; split and network are of all.
        most: fires of a data set whose pixels are read.
        device: where the network runs.

    Raises:
        InputError: a data set has no fires store.
    """
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    findings = {name: check_dataset(fires[name], most) for name in datasets}
    if not layout.split.exists():
        missing = Finding("WARNING", "split", "not made yet: leakage not checked", "run `emberformer split`")
        return {**findings, "split": [missing]}
    findings["split"] = check_split(fires, layout)
    absent = [
        name
        for name in settings.datasets
        if layout.extracts(name) and not (layout.features(name) / "zarr.json").is_file()
    ]
    if absent:
        said = f"no finished features of {', '.join(absent)}: not tried"
        return {**findings, "network": [Finding("WARNING", "network", said, "run `snakemake extract_features`")]}
    for phase in layout.phases:
        if phase == "ensemble":  # it learns from the forecasts of a trained network
            continue
        name = "network" if phase == "phase1" else f"network, {phase}"
        try:
            findings[name] = check_network(settings, layout, device, phase)
        except InputError as error:
            findings[name] = [Finding("ERROR", "network", f"{error.where}: {error.found}", error.remedy)]
    return findings


def write_findings(layout: Layout, findings: Mapping[str, list[Finding]]) -> None:
    """`check.json` in the configuration's results."""
    content = {name: [asdict(finding) for finding in of] for name, of in findings.items()}
    write_whole(layout.experiment / "check.json", json.dumps(content, indent=1) + "\n")
