"""Only the crop of a fire's own raster and late enough forecasts are scored."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score

from emberformer.errors import InputError
from emberformer.evaluate.observed import observed_forecasts
from emberformer.evaluate.scored_part import ScoredPart, crop_of, raster_size
from emberformer.evaluate.spatial import spatial_sums_of
from emberformer.evaluate.tables import evaluate
from emberformer.evaluate.verification import BINS, sums_of
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from emberformer.protocols import FollowedProtocol
from emberformer.settings import EvaluationSettings
from tests.small_fires import small_fires, write_small_fires

WINDOW = (70, 66)
SIZES = {"2018_fire_1": (70, 40), "2018_fire_2": (35, 66), "2018_fire_3": (33, 34)}
CROPS = {  # by hand: 64 x 32 from (3, 4), 32 x 64 from (1.5 -> 2, 1), 32 x 32 from (0.5 -> 0, 1)
    "2018_fire_1": (slice(3, 67), slice(4, 36)),
    "2018_fire_2": (slice(2, 34), slice(1, 65)),
    "2018_fire_3": (slice(0, 32), slice(1, 33)),
}
SPLITS = dict(zip(SIZES, ("validation", "test", "test"), strict=True))
FRAMES = 4
PART = ScoredPart("multiple_of_32", first_step=2)


@pytest.fixture(scope="module")
def fires():
    """Fires that go out on rasters of three sizes, padded at the right and bottom; one day is not known at all."""
    draw = np.random.default_rng(0)
    frames = {}
    for fire_id, (height, width) in SIZES.items():
        frames[fire_id] = np.full((FRAMES, *WINDOW), 255, "uint8")
        frames[fire_id][:, :height, :width] = draw.random((FRAMES, height, width)) < 0.2
    frames["2018_fire_2"][0] = 255
    frames["2018_fire_2"][3, 10, 20] = 255
    return small_fires(frames, fire_kind="active", cell_m=375)


def _write(path, fires):
    draw = np.random.default_rng(1)
    times = fires.valid_time.values
    blocks = [
        ForecastBlock(
            fire_id, SPLITS[fire_id], step, times[step], times[step + 1 : step + 2], draw.random((1, *WINDOW), "f4")
        )
        for fire_id in SIZES
        for step in range(FRAMES - 1)
    ]
    write_forecasts(path, blocks, method="m", dataset="small", score_kind="probability", shape=(1, *WINDOW),
                    provenance={"fitted": {}}, sees_target_wind=False)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def forecasts(fires, tmp_path_factory):
    return open_forecasts(_write(tmp_path_factory.mktemp("part") / "m.zarr", fires))


def _expected(fires, forecasts):
    """Forecast and observation of all scored pixels of the test: from steps 2 alone."""
    pairs = []
    for number, fire_id in enumerate(SIZES):
        if SPLITS[fire_id] == "test":
            observed = fires.burned.values[number * FRAMES + 3][CROPS[fire_id]]
            forecast = forecasts.probability.values[number * (FRAMES - 1) + 2, 0][CROPS[fire_id]]
            pairs.append((forecast[observed != 255], observed[observed != 255]))
    return (np.concatenate(of) for of in zip(*pairs, strict=True))


def test_raster_of_a_fire_ends_where_nothing_is_ever_known(fires):
    assert {fire_id: raster_size(fires, fire_id) for fire_id in SIZES} == SIZES


@pytest.mark.parametrize("fire_id", SIZES)
def test_crop_lies_about_the_centre_of_the_raster_and_not_of_the_window(fires, fire_id):
    assert crop_of(fires, fire_id, "multiple_of_32") == CROPS[fire_id]
    assert crop_of(fires, fire_id, "centre_128") == tuple(slice(0, side) for side in SIZES[fire_id])


def test_crop_of_128_pixels():
    fires = small_fires({"a": [np.pad(np.zeros((131, 150)), (0, 9), constant_values=255)]})
    assert crop_of(fires, "a", "centre_128") == (slice(2, 130), slice(11, 139))


def test_raster_without_a_crop_is_refused():
    with pytest.raises(InputError, match=r"(?s)31 x 40 pixels.*evaluation\.crop"):
        crop_of(small_fires({"a": [np.zeros((31, 40))]}), "a", "multiple_of_32")


def test_early_forecasts_of_test_fires_alone_are_left_out(fires, forecasts):
    found = [(one.fire_id, one.init_step) for one in observed_forecasts(forecasts, fires, "try", PART)]
    assert found == [*(("2018_fire_1", step) for step in range(3)), ("2018_fire_2", 2), ("2018_fire_3", 2)]


def test_sums_hold_the_crop_alone(fires, forecasts):
    found = sums_of(forecasts, fires, PART)
    pixels = np.asarray(found.count.sum(1)).tolist()
    assert pixels == [64 * 32] * 3 + [32 * 64 - 1, 32 * 32]
    burned = fires.burned.values[11][CROPS["2018_fire_3"]]
    assert found.count[[-1], BINS:].sum() == np.count_nonzero(burned == 1)
    spatial = spatial_sums_of(forecasts, fires, 0.5, 1, PART)
    assert len(spatial.perimeters) == len(pixels)


def test_tables_hold_pooled_scores_of_the_protocol(fires, forecasts, tmp_path):
    stores = {"m": {"small": _write(tmp_path / "m.zarr", fires)}}
    paths = {"small": write_small_fires(fires, tmp_path / "fires.zarr")}
    settings = EvaluationSettings(replicates=100, crop="multiple_of_32", first_step=2)
    evaluate(stores, paths, tmp_path / "scores", settings, followed=FollowedProtocol("wsts-full", 3))
    forecast, observed = _expected(fires, forecasts)
    table = pd.read_csv(tmp_path / "scores" / "scores.csv", dtype=str, keep_default_na=False)
    rows = table.query("dataset == 'small' and split == 'test' and history == 'all' and region == 'whole'")
    scores = dict(zip(zip(rows["threshold"], rows["metric"], strict=True), rows["value"], strict=True))
    ap = average_precision_score(observed, forecast)
    assert float(scores["", "average_precision"]) == pytest.approx(ap, abs=1e-3)
    assert float(scores["0.5", "f1"]) == pytest.approx(f1_score(observed, forecast >= 0.5), rel=1e-5)
    assert {"precision", "recall", "iou"} <= {metric for threshold, metric in scores if threshold == "0.5"}
    told = json.loads((tmp_path / "scores" / "protocol.json").read_text())
    assert told["protocol"]["name"] == "wsts-full"
    assert told["protocol"]["fold"] == {"number": 3, "train": [2018, 2020], "validation": 2021, "test": 2019}
    assert "multiples of 32" in told["crop"]
    assert "Protocol wsts-full, fold 3 (trained on 2018 and 2020" in told["note"]
    assert "no crop" not in told["note"]
