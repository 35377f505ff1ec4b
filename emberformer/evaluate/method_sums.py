"""All sums of one method on all data sets, and all scores of any group of its forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from emberformer.evaluate.areas import area_scores_of, area_sums
from emberformer.evaluate.arrivals import arrival_scores_of
from emberformer.evaluate.bands import band_scores_of
from emberformer.evaluate.boundary_sums import boundary_scores_of
from emberformer.evaluate.fractions import fraction_scores_of
from emberformer.evaluate.pooling import (
    REGIONS,
    Score,
    choose_threshold,
    fire_table,
    scores_as_trained,
    scores_of,
    thresholds_of,
)
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart
from emberformer.evaluate.spatial import SpatialSums, spatial_sums_of
from emberformer.evaluate.strata import with_classes
from emberformer.evaluate.verification import ForecastSums, Selection, bin_edges, sums_of
from emberformer.forecast_store import ScoreKind


@dataclass(frozen=True)
class MethodSums:
    """Sums of one method.

    Args:
        kind: kind of its score.
        threshold_bin: the lower edge of this bin is the threshold chosen on validation; None if none could be.
        pixels, spatial, areas: data set -> sums, row for row; see `ForecastSums`, `SpatialSums`, `area_sums`.
    """

    kind: ScoreKind
    threshold_bin: int | None
    pixels: dict[str, ForecastSums]
    spatial: dict[str, SpatialSums]
    areas: dict[str, np.ndarray]

    @property
    def threshold(self) -> float | None:
        """The threshold chosen on validation."""
        return _threshold(self.kind, self.threshold_bin)

    def scores(
        self, datasets: Sequence[str], selection: Selection, weights: np.ndarray, regions: Sequence[str] = REGIONS
    ) -> dict[Score, np.ndarray]:
        """Every score [R] of a group of forecasts.

        Args:
            datasets: their fires one after the other.
            selection: which forecasts.
            weights: pools of the fires [R, F].
            regions: which of `REGIONS`.
        """
        pixels = [self.pixels[name] for name in datasets]
        spatial = [self.spatial[name] for name in datasets]

        adding = [of.by_fire(selection) for of in pixels]

        def fires(rows: Sequence[np.ndarray]) -> np.ndarray:
            """Sums of rows by fire [F, ...], of several data sets one after the other."""
            flat = [one @ of.reshape(len(of), math.prod(of.shape[1:])) for one, of in zip(adding, rows, strict=True)]
            return np.concatenate(flat).reshape(-1, *rows[0].shape[1:])

        found = scores_of(fire_table(pixels, selection), weights, self.kind, self.threshold_bin, regions)
        if self.kind == "probability" and selection.lead == 1 and all(of.calibration for of in pixels):
            found |= scores_as_trained(fire_table([of.as_trained for of in pixels], selection), weights, regions)
        areas = fires([self.areas[name] for name in datasets])
        found |= area_scores_of(areas, weights, area_thresholds(self.kind, self.threshold_bin))
        if self.kind == "probability":
            found |= band_scores_of(fires([of.bands for of in spatial]), weights)
        if self.threshold_bin is not None:
            found |= boundary_scores_of(fires([of.perimeters for of in spatial]), weights)
            found |= fraction_scores_of(fires([of.fractions for of in spatial]), weights)
            found |= arrival_scores_of(fires([of.arrivals for of in spatial]), weights)
        return {score: values for score, values in found.items() if score.region in regions}


def method_sums(
    forecasts: Mapping[str, xr.Dataset],
    fires: Mapping[str, xr.Dataset],
    classes: Mapping[str, pd.DataFrame],
    kind: ScoreKind,
    tolerance: int,
    part: ScoredPart = EVERYTHING,
) -> MethodSums:
    """Sum all forecasts of a method: once for the pixels and its threshold, once more at the threshold.

    Args:
        forecasts: data set -> opened forecast store.
        fires: data set -> opened fires store.
        classes: data set -> class of each step in each stratum; see `strata.classes_of`.
        kind: kind of its score.
        tolerance: pixels within which two perimeters agree.
        part: which forecasts and pixels count.
    """
    pixels = {name: sums_of(of, fires[name], part) for name, of in forecasts.items()}
    pixels = {name: of._replace(about=with_classes(of.about, classes[name])) for name, of in pixels.items()}
    validation = fire_table(list(pixels.values()), Selection("validation"))
    threshold_bin = choose_threshold(validation.pooled(np.ones((1, len(validation.steps)))).count[0])
    threshold = _threshold(kind, threshold_bin)
    spatial = {name: spatial_sums_of(of, fires[name], threshold, tolerance, part) for name, of in forecasts.items()}
    areas = {name: area_sums(of, thresholds_of(kind, threshold_bin)) for name, of in pixels.items()}
    return MethodSums(kind, threshold_bin, pixels, spatial, areas)


def area_thresholds(kind: ScoreKind, threshold_bin: int | None) -> list[str]:
    """Names of the thresholds of `MethodSums.areas`, in its order; "" = the expected area."""
    return [""] * (kind == "probability") + list(thresholds_of(kind, threshold_bin))


def _threshold(kind: ScoreKind, threshold_bin: int | None) -> float | None:
    return None if threshold_bin is None else float(bin_edges(kind)[threshold_bin])
