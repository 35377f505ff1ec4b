"""Forecast stores that others write: by the documented example, scored as ours, refused where they do not fit."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from emberformer.errors import InputError
from emberformer.evaluate.names import parse_stores
from emberformer.evaluate.tables import evaluate
from emberformer.evaluate.verification import sums_of
from emberformer.forecast_store import open_forecasts, write_forecasts
from emberformer.settings import EvaluationSettings
from tests.evaluate.small_forecasts import forecasts_of
from tests.small_fires import disc, small_fires, write_small_fires

GUIDE = Path(__file__).parents[2] / "docs" / "forecast-store.md"
OWN_BASELINE = GUIDE.with_name("own-baseline.md")
SHAPE = (10, 11)


@pytest.fixture
def fires():
    return small_fires({f"sequence_{k}": [disc(SHAPE, (5, 5), r + k / 2) for r in (1, 2, 3)] for k in range(3)})


@pytest.fixture
def theirs(fires, tmp_path, monkeypatch):
    """The store of the guide's example; they forecast the next frame with probability 0.9."""

    def simulate(fire_id, init_step):
        start = int(fires.row_start.values[fires.fire_id.values == fire_id][0])
        return 0.9 * fires.burned.values[start + init_step + 1][None]

    monkeypatch.chdir(tmp_path)
    still = tmp_path / "results" / "baselines" / "persistence-1a2b3c4d" / "demo_valley.zarr"
    still.parent.mkdir(parents=True)
    forecasts_of(still, fires, lambda *_: np.zeros(SHAPE))
    example = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[0]
    exec(example, {"simulate": simulate})
    return tmp_path / "theirs" / "demo_valley.zarr", still


def test_the_example_of_the_guide_is_scored_beside_our_own(fires, theirs, tmp_path):
    written, still = theirs
    zarr.open_group(written).attrs.update(institution="Fire Lab", sees_target_wind=True)
    methods = {
        "persistence": {"demo_valley": still},
        **parse_stores([f"simulator={written}"], ["demo_valley"], ["persistence"]),
    }
    stores = {"demo_valley": write_small_fires(fires, tmp_path / "fires.zarr")}
    evaluate(methods, stores, tmp_path / "scores", EvaluationSettings(replicates=100))
    table = pd.read_csv(tmp_path / "scores" / "scores.csv").query(
        "dataset == 'demo_valley' and history == 'all' and region == 'new' and metric in ['average_precision', 'brier']"
    )
    found = table.set_index(["method", "metric"])[["value", "prevalence"]]
    assert found.loc[("simulator", "average_precision"), "value"] == 1
    persistence = found.loc[("persistence", "average_precision")]
    assert persistence.value == pytest.approx(persistence.prevalence)
    assert found.loc[("simulator", "brier"), "value"] == pytest.approx(0.01 * persistence.prevalence, rel=1e-4)

    chosen = json.loads((tmp_path / "scores" / "thresholds.json").read_text())
    about = {"path": "theirs/demo_valley.zarr", "institution": "Fire Lab", "sees_target_wind": True}
    assert chosen["simulator"]["store"] == {"demo_valley": about}


def test_the_baseline_of_the_guide_forecasts_a_front_that_widens(fires, tmp_path, monkeypatch):
    write_small_fires(fires, tmp_path / "results" / "demo_valley" / "fires.zarr")
    monkeypatch.chdir(tmp_path)
    guide: dict = {}
    exec(re.findall(r"```python\n(.*?)```", OWN_BASELINE.read_text(), re.DOTALL)[1], guide)
    (forecast,) = guide["simulate"]("sequence_1", 0)
    assert forecast.shape == SHAPE
    np.testing.assert_array_equal(forecast == 1, disc(SHAPE, (5, 5), 1.5) == 1)
    assert forecast[5, 7] == pytest.approx(np.exp(-0.5)), "one pixel from the front, two pixels of scale"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.assign(probability=one.probability * 100), "probabilities from 0 to 90"),
        (lambda one: one.assign(probability=one.probability.where(one.probability > 0)), "NaN"),
        (lambda one: one.isel(x=slice(9)), "frames of 10 x 9"),
        (
            lambda one: one.assign_coords(fire_id=one.fire_id.where(one.fire_id != "sequence_1", "elsewhere")),
            "fire 'elsewhere'",
        ),
        (lambda one: one.isel(forecast=[0, 1, 2, 3, 4, 5, 3]), "several forecasts of sequence_1 from step 1"),
        (lambda one: one.assign_coords(init_step=one.init_step - 1), "of sequence_0 from step -1, of steps 0 to 2"),
        (lambda one: one.assign_coords(init_step=one.init_step + 2), "of sequence_0 from step 3, of steps 0 to 2"),
        (lambda one: one.assign_coords(lead=[0]), "lead ['0']"),
        (lambda one: one.assign_coords(lead=[0.5]), "lead ['0.5']"),
        (lambda one: xr.concat([one.assign_coords(lead=[k]) for k in (2, 1)], "lead"), "lead ['2', '1']"),
        (lambda one: one.drop_vars("init_step"), "no init_step"),
        (lambda one: one.rename(probability="p"), "no probability"),
        (lambda one: one.assign_attrs(score_kind="chance"), "score_kind 'chance'"),
        (lambda one: one.drop_attrs(), "no attribute method"),
    ],
)
def test_a_store_that_does_not_fit_is_refused(fires, theirs, tmp_path, change, said):
    one = xr.open_zarr(theirs[0], consolidated=False).load().drop_encoding()
    change(one).to_zarr(tmp_path / "changed.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        sums_of(open_forecasts(tmp_path / "changed.zarr"), fires)
    assert refused.value.remedy


def test_missing_steps_are_named(fires, theirs, tmp_path):
    written, still = theirs
    one = xr.open_zarr(written, consolidated=False).load().drop_encoding()
    one.isel(forecast=[0, 1, 2, 4, 5]).to_zarr(tmp_path / "short.zarr", zarr_format=3, consolidated=False)
    stores = {"demo_valley": write_small_fires(fires, tmp_path / "fires.zarr")}
    methods = {"persistence": {"demo_valley": still}, "simulator": {"demo_valley": tmp_path / "short.zarr"}}
    with pytest.raises(InputError, match=r"by simulator\n.*sequence_1 of demo_valley: from step 1 at lead 1"):
        evaluate(methods, stores, tmp_path / "scores", EvaluationSettings(replicates=100))


def test_steps_that_no_fire_has_are_refused_before_anything_is_looked_up(fires, theirs, tmp_path):
    one = xr.open_zarr(theirs[0], consolidated=False).load().drop_encoding()
    later = one.assign_coords(init_step=one.init_step + 9)
    later.to_zarr(tmp_path / "later.zarr", zarr_format=3, consolidated=False)
    stores = {"demo_valley": write_small_fires(fires, tmp_path / "fires.zarr")}
    methods = {"simulator": {"demo_valley": tmp_path / "later.zarr"}}
    with pytest.raises(InputError, match="of sequence_0 from step 9, of steps 0 to 2"):
        evaluate(methods, stores, tmp_path / "scores", EvaluationSettings(replicates=100))


def test_a_data_set_whose_fires_are_all_in_training_has_no_rows(fires, theirs, tmp_path):
    none = tmp_path / "none.zarr"
    about = {"method": "persistence", "dataset": "plain", "score_kind": "probability", "provenance": {}}
    write_forecasts(none, [], **about, shape=(1, 4, 5), sees_target_wind=False)
    plain = small_fires({"only": [disc((4, 5), (2, 2), r) for r in (1, 2)]}, dataset="plain")
    stores = {
        "hills": write_small_fires(fires, tmp_path / "fires.zarr"),
        "plain": write_small_fires(plain, tmp_path / "plain.zarr"),
    }
    methods = {"persistence": {"hills": theirs[0], "plain": none}}
    evaluate(methods, stores, tmp_path / "scores", EvaluationSettings(replicates=100))
    table = pd.read_csv(tmp_path / "scores" / "scores.csv")
    assert set(table.dataset) == {"hills", "all"}
    values = {name: of.drop(columns="dataset").reset_index(drop=True) for name, of in table.groupby("dataset")}
    pd.testing.assert_frame_equal(values["all"], values["hills"])


def test_stores_on_the_command_line():
    found = parse_stores(["a=x/{dataset}.zarr", "b=y/{dataset}"], ["demo_valley", "plain"], ["unet-seed-0"])
    assert found["a"] == {"demo_valley": Path("x/demo_valley.zarr"), "plain": Path("x/plain.zarr")}
    for text, said in {"a": "no NAME=PATH", "a b=x": "no NAME=PATH", "unet=x": "twice", "a=x.zarr": "one path"}.items():
        with pytest.raises(InputError, match=said):
            parse_stores([text], ["demo_valley", "plain"], ["unet"])
