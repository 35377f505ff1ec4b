import pytest
import torch

from emberformer.detection.asking import Asking, change
from emberformer.detection.detector import FireDetector
from emberformer.detection.queries import Heads, Predictions
from emberformer.detection_settings import AskingSettings, DetectionSettings
from tests.detection.scenes import Scenes

BATCH = Scenes(4).__getitems__([0, 1, 2, 3])
OPTIONS = {
    "all of it": {},
    "fewer queries": {"queries": 4},
    "adaptive": {"adaptive": 0.2},
    "fewer layers": {"layers": 2},
    "settled": {"settled": 0.004},
    "dropped": {"keep": 0.5},
    "values at once": {"values_at_once": True},
    "all options": {"queries": 15, "adaptive": 0.3, "settled": 0.004, "keep": 0.7, "values_at_once": True},
}


@pytest.fixture(scope="module")
def detector() -> FireDetector:
    torch.manual_seed(0)
    of = DetectionSettings(preset="small", d_model=32, heads=4, queries=20, groups=2, refinement=True)
    one = FireDetector(of, 8, 2).eval()
    for heads in (module for module in one.modules() if isinstance(module, Heads)):  # as if it had learned something
        for p in heads.parameters():
            torch.nn.init.normal_(p, std=0.2)
    return one


def test_all_of_it_is_what_the_detector_says(detector):
    with torch.inference_mode():
        said = detector(BATCH.features, BATCH.valid)
        asked = Asking(detector, AskingSettings()).predictions(BATCH.features, BATCH.valid)
    for n, (logits, boxes) in enumerate(asked):
        assert torch.equal(logits, said.logits[n])
        assert torch.equal(boxes, said.pred_boxes[n])


@pytest.mark.parametrize("option", OPTIONS)
def test_a_window_is_told_the_same_in_any_batch(detector, option):
    asking = Asking(detector, AskingSettings(**OPTIONS[option]))
    together = asking(BATCH.features, BATCH.valid)
    for n in (0, 3):
        alone = asking(BATCH.features[n : n + 1], BATCH.valid[n : n + 1])[0]
        torch.testing.assert_close(alone.scores, together[n].scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.boxes, together[n].boxes, atol=1e-4, rtol=1e-3)


def test_values_at_once_change_nothing(detector):
    usual, at_once = (
        Asking(detector, AskingSettings(values_at_once=on)).predictions(BATCH.features, BATCH.valid)
        for on in (False, True)
    )
    for (logits, boxes), (other_logits, other_boxes) in zip(usual, at_once, strict=True):
        torch.testing.assert_close(logits, other_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(boxes, other_boxes, atol=1e-4, rtol=1e-4)


def test_options_ask_less(detector):
    def asked(**options) -> tuple[int, int]:
        """Layers that windows passed, and queries that were left of them."""
        passed = []
        hook = detector.decoder.register_forward_hook(lambda _, given, __: passed.append(given[2].hidden.shape[0]))
        left = Asking(detector, AskingSettings(**options)).predictions(BATCH.features, BATCH.valid)
        hook.remove()
        return sum(passed), sum(len(logits) for logits, _ in left)

    assert asked() == (12, 80)
    assert asked(queries=4) == (12, 16)
    assert asked(layers=2) == (8, 80)
    assert asked(keep=0.5) == (12, 20)
    assert asked(settled=1.0) == (8, 80)  # a second layer is needed to see that nothing changes
    assert asked(settled=1e-9) == (12, 80)
    assert asked(adaptive=1e-6) == (12, 20)


def test_the_worst_queries_are_dropped(detector):
    cells = detector.pyramid(BATCH.features, BATCH.valid)
    queries, _ = detector.begin(cells, 20)
    told = Predictions(torch.randn(4, 20, 2), torch.rand(4, 20, 4))
    kept, left = Asking(detector, AskingSettings(keep=0.25))._kept(queries, told)
    for n in range(4):
        best = told.scores[n].argsort(descending=True)[:5]
        assert torch.equal(left.logits[n], told.logits[n, best])
        assert torch.equal(left.boxes[n], told.boxes[n, best])
        assert torch.equal(kept.boxes[n], queries.boxes[n, best])


def test_queries_are_in_proportion_to_the_sum_of_the_scores(detector, monkeypatch):
    begin, scores = FireDetector.begin, torch.tensor([0.1, 0.35, 0.6, 0.85])  # their sums over 20: 2, 7, 12, 17

    def begun(self, cells, number):
        queries, told = begin(self, cells, number)
        assert told is not None
        return queries, Predictions(scores.logit()[:, None, None].expand_as(told.logits), told.boxes)

    monkeypatch.setattr(FireDetector, "begin", begun)
    for share, wanted in ((1.0, [5, 10, 15, 20]), (0.5, [5, 5, 10, 10]), (3.0, [10, 20, 20, 20])):  # in steps of 5
        asked = Asking(detector, AskingSettings(adaptive=share)).predictions(BATCH.features, BATCH.valid)
        assert [len(logits) for logits, _ in asked] == wanted


def test_what_changes_in_a_layer_worked_by_hand():
    box = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    moved = box + torch.tensor([0.1, 0, 0, 0])  # IoU 1/3
    logits = torch.zeros(1, 1, 1)
    assert change(Predictions(logits, box), Predictions(logits, box)).item() == pytest.approx(0, abs=1e-5)
    assert change(Predictions(logits, box), Predictions(logits, moved)).item() == pytest.approx(0.5 * 2 / 3, abs=1e-5)
    surer = Predictions(logits + 100, box)
    assert change(Predictions(logits, box), surer).item() == pytest.approx(0.5)


def test_objects_are_the_surest_categories(detector):
    asking = Asking(detector, AskingSettings(minimum_score=0.3, most=2))
    boxes = torch.rand(3, 4)
    found = asking.objects(torch.tensor([[2.0, -9.0], [1.0, 3.0], [-9.0, -9.0]]), boxes)
    assert found.labels.tolist() == [1, 0]
    assert torch.equal(found.boxes, boxes[[1, 0]])
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 2.0]).sigmoid())
