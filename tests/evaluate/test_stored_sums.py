"""Stored sums: pooled anew from the file they give the figures of the tables."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from emberformer.data.fires import open_fires
from emberformer.evaluate import scores
from emberformer.evaluate.tables import evaluate
from tests.evaluate.small_methods import METHODS, SETTINGS, SIZES, pick, write_fires, write_method


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sums")
    fires = write_fires(folder)
    few = ("emberformer-seed-0", "distance")
    stores = {
        method: {
            name: write_method(folder / f"{method}-{name}.zarr", open_fires(path), method, name)
            for name, path in fires.items()
        }
        for method in METHODS
        if method in few
    }
    evaluate(stores, fires, folder / "scores", SETTINGS)
    return folder / "scores", pd.read_csv(folder / "scores" / "scores.csv", dtype={"history": str, "threshold": str})


def opened(scored, method):
    with xr.open_dataset(scored[0] / "sums" / f"{method}.nc", engine="h5netcdf") as sums:
        return sums.load()


@pytest.mark.parametrize("dataset", ["hills", "all"])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_scores_pooled_anew_are_those_of_the_tables(scored, dataset, split):
    sums = opened(scored, "emberformer-seed-0")
    chosen = (sums.split == split) & ((sums.dataset == dataset) | (dataset == "all"))
    pool = sums.drop_vars(["dataset", "fire_id", "split"]).isel(fire=chosen.values).sel(lead=1).sum("fire")
    pixels = pool.new_fire_pixels.sum()
    hit = pool.new_fire_pixels.sel(bin=slice(sums.threshold - 1e-9, None)).sum("bin").values
    bins, perimeter = pool.reliability, pool.perimeter.sel(region="new")
    area, fraction = pool.area.sel(area_threshold="0.5"), pool.fraction.sel(region="whole", window_px=5)
    found = {
        ("average_precision", None): scores.average_precision_of_counts(pool.new_fire_pixels.values),
        ("brier", None): pool.squared_error / pixels,
        ("nll", None): pool.negative_log_likelihood / pixels,
        ("ece", None): abs(bins.sel(reliability_quantity="forecast") - bins.sel(reliability_quantity="observed")).sum()
        / pixels,
        ("f1", "validation"): 2 * hit[1] / (hit.sum() + pool.new_fire_pixels.sel(observed=1).sum()),
        ("area_bias_ha", "0.5"): (area.sel(area_quantity="forecast") - area.sel(area_quantity="observed"))
        / area.sel(area_quantity="forecasts"),
        ("hausdorff_95_m", "validation"): perimeter.sel(perimeter_quantity="hausdorff_m")
        / perimeter.sel(perimeter_quantity="hausdorffs"),
    }
    where = {"method": "emberformer-seed-0", "dataset": dataset, "split": split, "history": "all"}
    for (metric, threshold), value in found.items():
        row = pick(scored[1], **where, region="new", metric=metric, threshold=threshold)
        assert float(value) == pytest.approx(row.value, rel=1e-5), metric
        assert int(pool.forecasts) == row.n_steps
    skill = 1 - fraction.sel(fraction_quantity="squared_difference") / fraction.sel(fraction_quantity="squares")
    row = pick(scored[1], **where, region="whole", metric="fss_5px", threshold="validation")
    assert float(skill) == pytest.approx(row.value, rel=1e-5)


def test_what_a_method_does_not_define_is_not_there(scored):
    found = opened(scored, "distance")
    assert not {"squared_error", "reliability", "band", "squared_error_as_trained"} & set(found.data_vars)
    assert {"new_fire_pixels", "perimeter", "area"} <= set(found.data_vars)
    assert found.score_kind == "score"
    assert list(found.area_threshold.values) == ["validation"]


def test_fires_are_named_and_variables_described(scored):
    found = opened(scored, "emberformer-seed-0")
    assert found.sizes["fire"] == 5 * len(SIZES)
    assert found.fire_id.values[:2].tolist() == ["sequence_000", "sequence_001"]
    assert set(found.dataset.values) == set(SIZES)
    assert all({"long_name", "units"} <= set(of.attrs) for of in found.data_vars.values())
    assert np.isfinite(found.squared_error).all()
    assert found.forecasts.sum() == len(SIZES) * 5 * 6
