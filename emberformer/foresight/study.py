"""The study's first part: how alike features are after some frames, written as a table and maps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import xarray as xr

from emberformer.atomic import replacing_file
from emberformer.errors import InputError
from emberformer.evaluate import rows
from emberformer.foresight.clips import read_clips
from emberformer.foresight.similarity import change_maps, similarity_sums, similarity_table, tested
from emberformer.foresight.standard import fit_cls, fit_standard
from emberformer.foresight_settings import ForesightSettings
from emberformer.layout import Layout
from emberformer.settings import Settings


def foresight_settings(settings: Settings, where: object) -> ForesightSettings:
    """Settings of the study.

    Raises:
        InputError: the configuration has none.
    """
    if settings.foresight is None:
        raise InputError(
            f"{where}: foresight", "null", "settings of the study",
            "add `foresight: {}` to the configuration, as in config/foresight.yaml",
        )  # fmt: skip
    return settings.foresight


def write_similarity(settings: Settings, layout: Layout) -> Path:
    """Write `gap_similarity.csv` and `change_maps.nc` of every data set that has test fires.

    Raises:
        InputError: no study in the configuration, a missing store, or no fire that is long enough.
    """
    of = foresight_settings(settings, layout.config)
    clips = read_clips(layout, of)
    standard, of_cls = fit_standard(clips, of.components), fit_cls(clips)
    gaps, tables, maps = range(of.similarity_gaps + 1), [], {}
    for part in tested(clips, max(of.similarity_gaps, of.gaps[-1]), layout.split):
        sums, score = similarity_sums(part, standard, of_cls, gaps), settings.evaluation
        tables.append(similarity_table(sums, part.dataset, part.seconds, score.replicates, score.seed))
        maps[part.dataset] = change_maps(part, standard, of.gaps, of.maps)
    path = write_table(pd.concat(tables), layout.foresight / "gap_similarity.csv")
    for dataset, of_dataset in maps.items():
        write_maps(of_dataset, layout.foresight / f"change_maps_{dataset}.nc")
    return path


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table whole or not at all; six significant digits."""
    rows.write(table, path)
    return path


def write_maps(maps: xr.Dataset, path: Path) -> Path:
    """Write maps whole or not at all."""
    with replacing_file(path) as partial:
        maps.to_netcdf(partial, engine="h5netcdf")
    return path
