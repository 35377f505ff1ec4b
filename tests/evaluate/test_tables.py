"""The tables: rows agree with scores of the pixels, methods are paired, what is undefined is empty."""

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit, logit

from emberformer.calibration import Calibration
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.evaluate import scores, strata
from emberformer.evaluate.tables import evaluate
from emberformer.forecast_store import open_forecasts
from tests.evaluate.small_methods import METHODS, SETTINGS, SIZES, pick, write_fires, write_method


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    fires = write_fires(folder)
    stores = {
        method: {
            name: write_method(folder / f"{method}-{name}.zarr", open_fires(path), method, name)
            for name, path in fires.items()
        }
        for method in METHODS
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(strata.EDGES, "size_ha", (1.0, 3.0))  # these fires are small
        evaluate(stores, fires, folder / "scores", SETTINGS)
    read = {
        path.stem: pd.read_csv(path, dtype={"history": str, "threshold": str}, keep_default_na=False, na_values=[""])
        for path in sorted((folder / "scores").glob("*.csv"))
    }
    return folder, fires, stores, read


def pixels(fires, stores, datasets, split, keep=lambda forecasts, k: True):
    forecast, observed = [], []
    for name in datasets:
        store, of = open_forecasts(stores[name]), open_fires(fires[name])
        starts = dict(zip(of.fire_id.values, of.row_start.values, strict=True))
        for k in range(store.sizes["forecast"]):
            row = starts[store.fire_id.values[k]] + store.init_step.values[k]
            if store.split.values[k] == split and keep(store, k):
                new_fire = of.burned[row].values == 0
                forecast.append(store.probability[k, 0].values[new_fire])
                observed.append(of.burned[row + 1].values[new_fire])
    return np.concatenate(forecast), np.concatenate(observed)


@pytest.mark.parametrize("datasets", [("hills",), ("plain",), ("hills", "plain")])
@pytest.mark.parametrize("history", ["all", "1", "5"])
def test_values_are_those_of_the_pixels(tables, datasets, history):
    _, fires, stores, read = tables
    threshold = json.loads((tables[0] / "scores" / "thresholds.json").read_text())["emberformer-seed-0"]["threshold"]
    fits = {"all": lambda h: True, "1": lambda h: h == 1, "5": lambda h: h >= 5}[history]
    forecast, observed = pixels(
        fires, stores["emberformer-seed-0"], datasets, "test", lambda store, k: fits(store.history_length.values[k])
    )
    dataset = datasets[0] if len(datasets) == 1 else "all"
    where = {"method": "emberformer-seed-0", "dataset": dataset, "split": "test", "history": history, "region": "new"}
    table = read["scores"]
    row = pick(table, **where, metric="average_precision")
    # few pixels, so that ties within a bin weigh more than on real fires
    assert row.value == pytest.approx(scores.average_precision(forecast, observed), abs=1e-2)
    assert row.prevalence == pytest.approx(observed.mean(), rel=1e-5)
    assert row.n_steps == len(datasets) * 3 * {"all": 6, "1": 1, "5": 2}[history]
    assert row.n_fires == len(datasets) * 3
    assert row.low <= row.value <= row.high
    assert pick(table, **where, metric="brier").value == pytest.approx(scores.brier(forecast, observed), rel=1e-5)
    assert pick(table, **where, metric="f1", threshold="0.5").value == pytest.approx(
        scores.f1(forecast, observed), rel=1e-5
    )
    at_threshold = pick(table, **where, metric="f1", threshold="validation").value
    assert at_threshold == pytest.approx(scores.f1(forecast, observed, threshold), rel=1e-5)


def test_threshold_is_chosen_on_validation_fires(tables):
    folder, fires, stores, _ = tables
    chosen = json.loads((folder / "scores" / "thresholds.json").read_text())
    forecast, observed = pixels(fires, stores["emberformer-seed-0"], SIZES, "validation")
    best = max(scores.f1(forecast, observed, value) for value in np.unique(forecast)[1:].tolist())
    found = scores.f1(forecast, observed, chosen["emberformer-seed-0"]["threshold"])
    assert found == pytest.approx(best, abs=2e-3)
    assert chosen["persistence"]["fitted"]["hills"] == {"radius_px": 2.5}


def test_what_is_undefined_is_absent_or_empty(tables):
    table = tables[3]["scores"]
    distance = table[table.method == "distance"]
    perimeters = {"boundary_f1", "hausdorff_95_m", "surface_distance_m", "perimeter_ratio", "isolated_pixels",
                  "detached_components"}  # fmt: skip
    areas = {"area_bias_ha", "area_mae_ha", "area_bias_relative"}
    fractions = {f"fss_{window}px" for window in (1, 3, 5, 9, 17)}
    pixels = {"average_precision", "f1", "iou", "precision", "recall", "frequency_bias"}
    assert set(distance.metric) == pixels | perimeters | areas | fractions
    assert not table.metric.str.startswith("arrival").any()  # of one lead time
    assert "0.5" not in set(distance.threshold.dropna())
    assert set(tables[3]["reliability"].method) == {"emberformer-seed-0", "emberformer-seed-1", "persistence"}
    where = {"method": "persistence", "dataset": "all", "split": "test", "history": "all", "region": "new"}
    never = pick(table, **where, metric="precision", threshold="0.5")
    assert np.isnan([never.value, never.low, never.high]).all()  # it never forecasts new fire


def test_persistence_has_no_skill_on_new_fire_and_much_on_the_whole(tables):
    table = tables[3]["scores"]
    where = {
        "method": "persistence",
        "dataset": "all",
        "split": "test",
        "history": "all",
        "metric": "average_precision",
    }
    new, whole = (pick(table, **where, region=region) for region in ("new", "whole"))
    assert new.value == pytest.approx(new.prevalence)
    assert whole.value > 0.6


def test_differences_are_paired(tables):
    """Minus a method without spread over fires the interval is the method's own, shifted."""
    read = tables[3]
    where = {"dataset": "all", "metric": "f1", "threshold": "validation"}
    own = pick(read["scores"], method="emberformer-seed-0", split="test", history="all", region="new", **where)
    difference = pick(read["differences"], method="emberformer-seed-0", baseline="persistence", **where)
    np.testing.assert_allclose(
        difference[["value", "low", "high"]].astype(float), own[["value", "low", "high"]].astype(float)
    )
    assert set(read["differences"].baseline) == {"persistence", "distance"}
    precision = pick(
        read["differences"], method="emberformer-seed-0", baseline="distance", dataset="all", metric="average_precision"
    )
    values = [
        pick(
            read["scores"],
            method=method,
            dataset="all",
            split="test",
            history="all",
            region="new",
            metric="average_precision",
        ).value
        for method in ("emberformer-seed-0", "distance")
    ]
    assert precision.value == pytest.approx(values[0] - values[1], abs=1e-5)


def test_mean_over_seeds(tables):
    table = tables[3]["scores"]
    where = {"dataset": "plain", "split": "test", "history": "all", "region": "new", "metric": "average_precision"}
    seeds = [pick(table, method=f"emberformer-seed-{seed}", **where) for seed in (0, 1)]
    mean = pick(table, method="emberformer (mean of 2 seeds)", **where)
    values = np.array([seed.value for seed in seeds])
    assert mean.value == pytest.approx(values.mean(), rel=1e-5)
    assert mean.seed_sd == pytest.approx(values.std(ddof=1), rel=1e-4)
    assert np.isnan(seeds[0].seed_sd)
    assert "emberformer (mean of 2 seeds)" in set(tables[3]["differences"].method)


def test_per_fire_rows_are_the_fires_alone(tables):
    _, fires, stores, read = tables
    row = pick(read["per_fire"], method="emberformer-seed-1", dataset="hills", fire_id="sequence_003")
    forecast, observed = pixels(
        fires,
        stores["emberformer-seed-1"],
        ["hills"],
        "test",
        lambda store, k: store.fire_id.values[k] == "sequence_003",
    )
    assert row["f1_0.5"] == pytest.approx(scores.f1(forecast, observed), rel=1e-5)
    assert row.n_steps == 6
    assert len(read["per_fire"]) == len(METHODS) * len(SIZES) * 3  # test fires only


def test_reliability_sums_to_all_pixels(tables):
    _, fires, stores, read = tables
    forecast, observed = pixels(fires, stores["emberformer-seed-0"], SIZES, "test")
    table = read["reliability"]
    table = table[(table.method == "emberformer-seed-0") & (table.dataset == "all") & (table.region == "new")]
    assert table.n_pixels.sum() == forecast.size
    assert (table.mean_forecast * table.n_pixels).sum() == pytest.approx(forecast.sum(), rel=1e-4)
    assert (table.observed_frequency * table.n_pixels).sum() == pytest.approx(observed.sum(), rel=1e-4)
    inside = table.n_pixels > 0
    assert table.mean_forecast[inside].between(table.lower[inside] - 1e-6, table.upper[inside] + 1e-6).all()


def test_brier_skill_against_a_method_that_is_named(tables, tmp_path):
    _, fires, stores, read = tables
    settings = SETTINGS.model_copy(update={"reference": "persistence"})
    evaluate(stores, fires, tmp_path / "scores", settings)
    found = pd.read_csv(tmp_path / "scores" / "scores.csv", dtype={"history": str})
    where = {"dataset": "all", "split": "test", "history": "all", "region": "new"}
    brier, reference = (
        pick(found, method=method, metric="brier", **where).value for method in ("emberformer-seed-0", "persistence")
    )
    skill = pick(found, method="emberformer-seed-0", metric="brier_skill", **where)
    assert skill.value == pytest.approx(1 - brier / reference, rel=1e-4)
    assert skill.low < skill.value < skill.high
    no_better = pick(found, method="persistence", metric="brier_skill", **where)
    assert (no_better.value, no_better.low, no_better.high) == (0, 0, 0)
    seeds = [pick(found, method=f"emberformer-seed-{k}", metric="brier_skill", **where).value for k in (0, 1)]
    mean = pick(found, method="emberformer (mean of 2 seeds)", metric="brier_skill", **where)
    assert mean.value == pytest.approx(np.mean(seeds), rel=1e-4)
    fire = {"dataset": "hills", "fire_id": "sequence_003"}
    per_fire = pd.read_csv(tmp_path / "scores" / "per_fire.csv")
    one, other = (pick(per_fire, method=method, **fire) for method in ("emberformer-seed-1", "persistence"))
    assert one.brier_skill == pytest.approx(1 - one.brier / other.brier, rel=1e-4)
    said = json.loads((tmp_path / "scores" / "protocol.json").read_text())
    assert said["brier_skill_reference"] == "persistence"
    assert "distance" not in set(found[found.metric == "brier_skill"].method)
    others = found[found.metric != "brier_skill"].reset_index(drop=True)
    expected = read["scores"][read["scores"].metric != "brier_skill"].reset_index(drop=True)
    np.testing.assert_array_equal(others.value, expected.value)


@pytest.mark.usefixtures("never_scored")
@pytest.mark.parametrize("reference", ["distance", "logistic"])
def test_a_reference_that_is_not_there_is_named(tables, tmp_path, reference):
    _, fires, stores, _ = tables
    settings = SETTINGS.model_copy(update={"reference": reference})
    few = {method: stores[method] for method in ("persistence", "distance")}
    with pytest.raises(InputError, match=rf"(?s)'{reference}'.*persistence"):
        evaluate(few, fires, tmp_path / "scores", settings)
    assert not (tmp_path / "scores").exists()


def test_tables_of_calibrated_forecasts_tell_what_they_were_before(tables, tmp_path):
    """The first seed's logits with other slopes; that seed itself names no calibration."""
    _, fires, stores, read = tables
    calibration, changed = Calibration(0.5, 1.5, -0.4), {}
    for name, path in stores["emberformer-seed-0"].items():
        store, changed[name] = xr.open_zarr(path, consolidated=False).load().drop_encoding(), tmp_path / f"{name}.zarr"
        trained = store.probability.values.astype("f8")
        values = expit(calibration.logits(logit(np.where(trained < 1, trained, 0.5))))
        store["probability"] = store.probability.dims, np.where(trained < 1, values, trained).astype("f4")
        store.attrs["calibration"] = calibration._asdict()
        store.to_zarr(changed[name], zarr_format=3, consolidated=False)
    evaluate({"emberformer-seed-7": changed}, fires, tmp_path / "scores", SETTINGS)
    found = pd.read_csv(tmp_path / "scores" / "scores.csv", dtype={"history": str})
    before = found[found.metric.str.endswith("_as_trained")]
    assert len(before) == 3 * len(found[found.metric == "brier"])
    assert not read["scores"].metric.str.endswith("_as_trained").any()
    for row in pd.DataFrame(before[before.history == "all"]).to_dict("records"):
        where = {"dataset": row["dataset"], "split": row["split"], "history": row["history"], "region": row["region"]}
        where["metric"] = row["metric"].removesuffix("_as_trained")
        same = pick(read["scores"], method="emberformer-seed-0", **where)
        assert [row["value"], row["low"], row["high"]] == pytest.approx([same.value, same.low, same.high], rel=1e-4)
        assert pick(found, **where).value != pytest.approx(row["value"], rel=1e-3)
    bins = pd.read_csv(tmp_path / "scores" / "reliability.csv")
    assert set(bins.calibration) == {"as forecast", "as trained"}
    chosen = json.loads((tmp_path / "scores" / "thresholds.json").read_text())
    assert chosen["emberformer-seed-7"]["calibration"]["hills"] == calibration._asdict()


def test_a_stratum_is_its_forecasts_alone(tables):
    """Every class of a stratum against the pixels of its forecasts; the classes are all forecasts."""
    _, fires, stores, read = tables
    where = {"method": "emberformer-seed-0", "dataset": "hills", "stratum": "size_ha", "region": "new"}
    table = read["strata"]
    of = open_fires(fires["hills"])
    burned = {
        (fire_id, step): int(of.burned[start + step].sum()) * 0.09
        for fire_id, start in zip(of.fire_id.values, of.row_start.values, strict=True)
        for step in range(6)
    }
    bounds = {"<1": (0, 1), "1-3": (1, 3), ">=3": (3, np.inf)}
    steps = 0
    for name, (low, high) in bounds.items():

        def fits(store, k, low=low, high=high):
            return low <= burned[store.fire_id.values[k], store.init_step.values[k]] < high

        forecast, observed = pixels(fires, stores["emberformer-seed-0"], ["hills"], "test", fits)
        row = pick(table, **where, class_name=name, metric="brier")
        assert row.value == pytest.approx(scores.brier(forecast, observed), rel=1e-5)
        row = pick(table, **where, class_name=name, metric="f1", threshold="0.5")
        assert row.value == pytest.approx(scores.f1(forecast, observed), rel=1e-5)
        steps += row.n_steps
    assert steps == 3 * 6
    assert set(table.stratum) == {"wind_m_s", "slope_deg", "size_ha"}
    assert set(table[table.stratum == "slope_deg"].class_name) == {"unknown"}
    assert "emberformer (mean of 2 seeds)" in set(table.method)


def test_area_errors_are_those_of_the_pixels(tables):
    _, fires, stores, read = tables
    area_ha = 30.0**2 / 1e4
    store, of = open_forecasts(stores["emberformer-seed-0"]["hills"]), open_fires(fires["hills"])
    starts = dict(zip(of.fire_id.values, of.row_start.values, strict=True))
    errors, grown = [], 0
    for k in np.flatnonzero(store.split.values == "test"):
        row = starts[store.fire_id.values[k]] + store.init_step.values[k]
        new_fire = of.burned[row].values == 0
        forecast, burned = store.probability[k, 0].values[new_fire], of.burned[row + 1].values[new_fire]
        grown += burned.sum() * area_ha
        errors.append([(values.sum() - burned.sum()) * area_ha for values in (forecast, forecast >= 0.5)])
    where = {"method": "emberformer-seed-0", "dataset": "hills", "split": "test", "history": "all"}
    for threshold, of_threshold in zip((None, "0.5"), np.transpose(errors), strict=True):
        found = {name: pick(read["scores"], **where, threshold=threshold, metric=f"area_{name}").value
                 for name in ("bias_ha", "mae_ha", "bias_relative")}  # fmt: skip
        assert found["bias_ha"] == pytest.approx(of_threshold.mean(), rel=1e-4)
        assert found["mae_ha"] == pytest.approx(np.abs(of_threshold).mean(), rel=1e-4)
        assert found["bias_relative"] == pytest.approx(of_threshold.sum() / grown, rel=1e-4)


def test_protocol_says_how_all_was_scored(tables):
    folder, _, _, read = tables
    found = json.loads((folder / "scores" / "protocol.json").read_text())
    assert (found["uncertainty"]["replicates"], found["boundary_tolerance_px"]) == (100, SETTINGS.boundary_tolerance)
    assert found["datasets"]["hills"]["pixels"] == [14, 16]
    assert list(found["methods"]) == list(METHODS)
    for sample in found["samples"]:
        where = {name: sample[name] for name in ("dataset", "split", "lead", "region")}
        row = pick(read["scores"], method="persistence", history="all", metric="brier", **where)
        assert (sample["n_fires"], sample["n_steps"]) == (row.n_fires, row.n_steps)
        assert sample["prevalence"] == pytest.approx(row.prevalence, rel=1e-5)
    assert "hills 14 x 16 px of 30 m" in found["note"]
    assert "plain 3 fires, 18 forecasts" in found["note"]


@pytest.mark.parametrize("splits", [("test",) * 5, ("validation",) * 5])
def test_a_data_set_may_lack_test_or_validation_fires(tables, tmp_path, splits):
    """As when a landscape is held out."""
    _, fires, stores, _ = tables
    plain = write_method(tmp_path / "p.zarr", open_fires(fires["plain"]), "persistence", "plain", splits=splits)
    mixed = {"hills": stores["persistence"]["hills"], "plain": plain}
    evaluate({"persistence": mixed}, fires, tmp_path / "scores", SETTINGS)
    table = pd.read_csv(tmp_path / "scores" / "scores.csv")
    n_fires = table[table.history == "all"].groupby(["dataset", "split"]).n_fires.first()
    expected = {("hills", "validation"): 2, ("hills", "test"): 3, ("plain", splits[0]): 5}
    expected |= {
        ("all", split): sum(n for of, n in expected.items() if of[1] == split) for split in ("test", "validation")
    }
    assert n_fires.to_dict() == expected


def test_nothing_to_choose_a_threshold_on(tables, tmp_path):
    _, fires, _, _ = tables
    store = write_method(tmp_path / "h.zarr", open_fires(fires["hills"]), "persistence", "hills", splits=("test",) * 5)
    evaluate({"persistence": {"hills": store}}, {"hills": fires["hills"]}, tmp_path / "scores", SETTINGS)
    assert json.loads((tmp_path / "scores" / "thresholds.json").read_text())["persistence"]["threshold"] is None
    assert set(pd.read_csv(tmp_path / "scores" / "scores.csv").threshold.dropna().astype(str)) == {"0.5"}


def test_methods_scored_side_by_side_give_the_same_tables(tables, tmp_path):
    folder, fires, stores, _ = tables
    evaluate(stores, fires, tmp_path / "scores", SETTINGS, processes=2)
    for path in sorted((folder / "scores").iterdir()):
        if path.name in ("sums", "strata.csv", "protocol.json"):  # a folder; of other classes
            continue
        assert (tmp_path / "scores" / path.name).read_bytes() == path.read_bytes()


def test_lost_values_are_told_by_the_same_error_from_another_process(tables, tmp_path):
    _, fires, stores, _ = tables
    holed = shutil.copytree(stores["persistence"]["hills"], tmp_path / "holed.zarr")
    shutil.rmtree(holed / "probability" / "c")
    with pytest.raises(InputError, match="NaN") as found:
        evaluate({"persistence": {"hills": holed}}, {"hills": fires["hills"]}, tmp_path / "scores", SETTINGS)
    assert not (tmp_path / "scores").exists()
    error, again = found.value, pickle.loads(pickle.dumps(found.value))  # as a pool of processes gives it back
    assert (type(again), vars(again), str(again)) == (InputError, vars(error), str(error))
    assert (again.where, again.remedy[:18]) == ("forecasts of persistence for hills", "make the forecasts")


@pytest.fixture
def never_scored(monkeypatch):
    def score_method(*arguments):
        raise AssertionError("a method is scored")

    monkeypatch.setattr("emberformer.evaluate.tables.score_method", score_method)


@pytest.mark.usefixtures("never_scored")
def test_a_missing_store_is_named_before_anything_is_scored(tables, tmp_path):
    _, fires, stores, _ = tables
    gone = {**stores, "persistence": {**stores["persistence"], "hills": tmp_path / "gone.zarr"}}
    with pytest.raises(InputError) as found:
        evaluate(gone, fires, tmp_path / "scores", SETTINGS)
    assert found.value.where == str(tmp_path / "gone.zarr")
    assert found.value.remedy


@pytest.mark.usefixtures("never_scored")
def test_methods_must_have_forecast_the_same(tables):
    folder, fires, stores, _ = tables
    shorter = write_method(folder / "shorter.zarr", open_fires(fires["hills"]), "persistence", "hills", steps=5)
    uneven = {
        "distance": stores["distance"],
        "persistence": {"hills": shorter, "plain": stores["persistence"]["plain"]},
    }
    with pytest.raises(InputError, match=r"sequence_000 of hills: from step 5"):
        evaluate(uneven, fires, folder / "uneven", SETTINGS)
    assert not (folder / "uneven").exists()
    with pytest.raises(InputError, match="by every method"):
        evaluate({"distance": {"hills": stores["distance"]["hills"]}}, fires, folder / "uneven", SETTINGS)
