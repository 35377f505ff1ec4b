"""Scores of detections equal pycocotools', and hand-worked cases of spots."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from emberformer.atomic import write_json
from emberformer.detection.coco import results_content
from emberformer.detection.coco_metrics import NAMES, coco_scores, spot_scores, truth_content
from emberformer.detection.found import NOTHING, Detections, Objects

CATEGORIES = ("front", "spot", "ignition")
NONE_FOUND = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner, sides = rng.uniform(0, 200, (count, 2)), np.exp(rng.uniform(np.log(4), np.log(200), (count, 2)))
    return np.concatenate([corner, corner + sides], 1)


def _frames(seed: int, count: int) -> tuple[list[Objects], list[Detections]]:
    """Objects, some of them crowds, and detections: many of them moved objects, the others anywhere."""
    rng, told, found = np.random.default_rng(seed), [], []
    for _ in range(count):
        number = int(rng.integers(0, 8))
        boxes, labels = _boxes(rng, number), rng.integers(0, 2, number)
        told.append(Objects(boxes, labels, rng.random(number) < 0.1))
        extra = int(rng.integers(0, 130))
        moved = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), _boxes(rng, extra)])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        given = np.concatenate([labels, rng.integers(0, 3, extra)])
        scores = np.concatenate([rng.uniform(0.4, 1, number), rng.uniform(0, 0.8, extra)]).round(2)
        found.append(Detections(moved, given, scores))
    return told, found


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_those_of_pycocotools(seed, tmp_path):
    told, found = _frames(seed, 20)
    write_json(tmp_path / "told.json", truth_content(told, CATEGORIES))
    write_json(tmp_path / "found.json", results_content(found))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "told.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = coco_scores(told, found, CATEGORIES)
    expected = np.where(evaluation.stats == -1, np.nan, evaluation.stats)
    np.testing.assert_allclose([ours[name] for name in NAMES], expected, atol=1e-6)
    of_front = evaluation.eval["precision"][:, :, 0, 0, -1].mean()
    assert ours["AP front"] == pytest.approx(of_front, abs=1e-6)
    assert np.isnan(ours["AP ignition"])
    assert 0.05 < ours["AP50 spot"] < 1


def test_what_is_found_exactly_scores_one_and_nothing_found_zero():
    told = [Objects.of(np.array([[0.0, 0, 10, 10], [20, 20, 200, 200]]), np.array([0, 1])), NOTHING]
    exact = [Detections(told[0].boxes, told[0].labels, np.ones(2)), NONE_FOUND]
    scores = coco_scores(told, exact, CATEGORIES[:2])
    assert all(scores[name] == 1 for name in ("AP", "AP50", "AP75", "AP_small", "AP_large", "AP50 front"))
    assert np.isnan(scores["AP_medium"])
    nothing = coco_scores(told, [NONE_FOUND] * 2, CATEGORIES[:2])
    assert nothing["AP"] == nothing["AP50 spot"] == nothing["AR100"] == 0
    assert np.isnan(coco_scores([NOTHING], [NONE_FOUND], CATEGORIES)["AP"])


def _spots(*centres: tuple[float, float]) -> np.ndarray:
    at = np.array(centres, float).reshape(-1, 2)
    return np.concatenate([at - 1, at + 1], 1)


def test_spots_are_found_within_reach_and_the_error_is_in_metres():
    told = [Objects.of(_spots((10, 10), (50, 50), (90, 90)), np.array([1, 1, 1])), NOTHING]
    boxes, labels = _spots((13, 14), (50, 60), (10, 10), (70, 10)), np.array([1, 1, 0, 1])
    found = [
        Detections(boxes, labels, np.array([0.9, 0.8, 0.9, 0.7])),
        Detections(boxes[:1], labels[:1], np.array([0.1])),
    ]
    scores = spot_scores(told, found, 1, [30.0, 30.0], least_score=0.5, reach_m=200)
    assert scores == (3, 1 / 3, 5 * 30, 2 / 2)
    wider = spot_scores(told, found, 1, [30.0, 30.0], least_score=0.5, reach_m=300)
    assert wider == (3, 2 / 3, (150 + 300) / 2, 1 / 2)


def test_most_spots_are_found_before_the_nearest():
    told = [Objects.of(_spots((0, 0), (4, 0)), np.array([1, 1]))]
    found = [Detections(_spots((3, 0), (8, 0)), np.array([1, 1]), np.ones(2))]
    assert spot_scores(told, found, 1, [1.0], 0.5, 4.0).recall == 1  # though (4, 0) is nearer to (3, 0)


def test_without_spots_there_is_no_recall():
    scores = spot_scores([NOTHING], [NONE_FOUND], 1, [30.0], 0.5, 100)
    assert scores.told == scores.false == 0
    assert np.isnan(scores.recall)
    assert np.isnan(scores.distance_m)
