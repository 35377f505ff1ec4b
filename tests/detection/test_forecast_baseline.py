"""The rival: pieces of a thresholded forecast, scored by their mean, with a threshold from validation fires."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from emberformer.detection.coco_metrics import coco_scores
from emberformer.detection.fire_objects import ClusterRule
from emberformer.detection.forecast_baseline import CATEGORIES, forecast_baseline, forecast_detections
from emberformer.errors import InputError
from emberformer.forecast_store import ForecastBlock, ScoreKind, open_forecasts, valid_times, write_forecasts
from tests.small_fires import small_fires

RULE = ClusterRule(reach=0)
SHAPE = (24, 30)
BURNED = np.zeros(SHAPE, np.uint8)
BURNED[10:14, 4:8] = 1


def test_pieces_are_objects_and_score_their_mean_probability():
    probability = np.where(BURNED == 1, 1.0, 0.0)
    probability[10:14, 8:10] = [0.9, 0.5]
    probability[3:5, 20:22] = 0.6
    probability[20, 20:24] = 0.2
    probability[0, 0] = np.nan
    found = forecast_detections(probability, BURNED, 0.4, RULE)
    assert found.boxes.tolist() == [[8, 10, 10, 14], [20, 3, 22, 5]]
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.7, 0.6])
    assert not forecast_detections(probability, BURNED, 0.95, RULE).labels.size


def test_pieces_below_the_least_size_take_no_score_from_others():
    probability = np.where(BURNED == 1, 1.0, 0.0)
    probability[9, 4] = 0.9  # one pixel: no front
    probability[10:14, 8] = 0.5
    found = forecast_detections(probability, BURNED, 0.4, RULE)
    assert found.boxes.tolist() == [[8, 10, 9, 14]]
    assert found.scores.tolist() == pytest.approx([0.5])


@pytest.fixture
def stores(tmp_path) -> Callable[..., tuple[xr.Dataset, xr.Dataset]]:
    """Fires that burn two columns further; the forecast says 0.6 of these and 0.3 of as many more."""
    after = BURNED.copy()
    after[10:14, 8:10] = 1
    fires = small_fires({"a": [BURNED, after], "b": [BURNED, after]})
    probability = np.where(BURNED == 1, 1.0, 0.0)
    probability[10:14, 8:10], probability[10:14, 10:14] = 0.6, 0.3

    def written(kind: ScoreKind = "probability", splits: tuple[str, str] = ("validation", "test")):
        now, values = np.datetime64("1970-01-01T00:00:00"), probability[None].astype(np.float32)
        blocks = [
            ForecastBlock(fire, split, 0, now, valid_times(now, 1800, 1), values)
            for fire, split in zip("ab", splits, strict=True)
        ]
        write_forecasts(
            tmp_path / "x.zarr", blocks, method="x", dataset="small", score_kind=kind, shape=(1, *SHAPE),
            provenance={}, sees_target_wind=False,
        )  # fmt: skip
        return open_forecasts(tmp_path / "x.zarr"), fires

    return written


def test_the_threshold_is_the_best_of_validation_fires(stores):
    forecasts, fires = stores()
    baseline = forecast_baseline(forecasts, fires, RULE, (0.2, 0.5))
    assert baseline.threshold == 0.5
    assert baseline.validation == {0.2: 0.0, 0.5: 1.0}
    assert [(frame.fire_id, frame.init_step) for frame in baseline.frames] == [("b", 0)]
    scores = coco_scores([frame.told for frame in baseline.frames], baseline.found, CATEGORIES)
    assert scores["AP front_next"] == 1
    assert np.isnan(scores["AP spot_next"])


def test_stores_that_do_not_fit_are_refused(stores):
    scores, fires = stores("score")
    with pytest.raises(InputError, match="scores"):
        forecast_baseline(scores, fires, RULE)
    tested, fires = stores(splits=("test", "test"))
    with pytest.raises(InputError, match="none of validation fires"):
        forecast_baseline(tested, fires, RULE)
