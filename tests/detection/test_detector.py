from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from transformers.loss.loss_for_object_detection import generalized_box_iou

from emberformer.detection.detector import FireDetector
from emberformer.detection.losses import DetectionLoss, Targets, corners_of, inside, iou_aware_cross_entropy
from emberformer.detection.queries import Heads, Predictions, Proposals
from emberformer.detection_settings import DetectionLossSettings, DetectionSettings
from tests.detection.scenes import Scenes

KINDS = {
    "deformable": {},
    "standard": {"decoder": "standard"},
    "learned places": {"two_stage": False},
    "all": {"level_heads": True, "refinement": True, "loss": {"patches": 1.0}},
}


def settings(**changes) -> DetectionSettings:
    return DetectionSettings.model_validate(
        {"preset": "small", "d_model": 32, "heads": 4, "queries": 8, "layers": 2, "groups": 2} | changes
    )


def detector(**changes) -> FireDetector:
    torch.manual_seed(0)
    return FireDetector(settings(**changes), 8, 2)


def random_case(rng: np.random.Generator, queries: int, counts: list[int]) -> tuple[Predictions, Targets]:
    def boxes(*shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.uniform(0.1, 0.9, (*shape, 4)), dtype=torch.float32)

    logits = torch.as_tensor(rng.standard_normal((len(counts), queries, 3)), dtype=torch.float32)
    labels = [torch.as_tensor(rng.integers(0, 3, n)) for n in counts]
    return Predictions(logits, boxes(len(counts), queries)), Targets(
        [boxes(n) for n in counts], labels, [torch.ones(n) for n in counts]
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_matching_is_the_assignment_of_least_cost(seed):
    rng = np.random.default_rng(seed)
    of = DetectionLossSettings()
    told, targets = random_case(rng, 6, [0, 3, 5])
    match = DetectionLoss(of, 1).eval().match(told, targets)
    for n, (queries, objects) in enumerate(match):
        p = told.logits[n].sigmoid()[:, targets.labels[n]]
        positive = 0.25 * (1 - p).square() * -(p + 1e-8).log()
        cost = of.class_cost * (positive - 0.75 * p.square() * -(1 - p + 1e-8).log())
        cost = cost + of.l1_cost * torch.cdist(told.boxes[n], targets.boxes[n], p=1)
        corners = corners_of(told.boxes[n]), corners_of(targets.boxes[n])
        cost = cost - of.giou_cost * generalized_box_iou(*corners)
        rows, columns = linear_sum_assignment(cost.numpy())
        assert dict(zip(queries.tolist(), objects.tolist(), strict=True)) == dict(zip(rows, columns, strict=True))


def test_a_permuted_batch_has_the_permuted_match():
    told, targets = random_case(np.random.default_rng(0), 6, [2, 4, 1])
    loss, order = DetectionLoss(DetectionLossSettings(), 1).eval(), [2, 0, 1]
    permuted = Targets(*([of[n] for n in order] for of in (targets.boxes, targets.labels, targets.weights)))
    match = loss.match(told, targets)
    for (queries, objects), n in zip(
        loss.match(Predictions(told.logits[order], told.boxes[order]), permuted), order, strict=True
    ):
        assert torch.equal(queries, match[n][0])
        assert torch.equal(objects, match[n][1])


def test_simple_matching_leaves_the_overlap_out():
    far = Predictions(torch.zeros(1, 2, 1), torch.tensor([[[0.3, 0.5, 0.1, 0.1], [0.5, 0.5, 0.34, 0.1]]]))
    wanted = Targets([torch.tensor([[0.5, 0.5, 0.1, 0.1]])], [torch.tensor([0])], [torch.ones(1)])
    loss = DetectionLoss(DetectionLossSettings(), 1).eval()
    assert loss.match(far, wanted)[0][0].item() == 1  # which overlaps, though its L1 is larger
    loss.simple_matching = True
    assert loss.match(far, wanted)[0][0].item() == 0


def test_cross_entropy_worked_by_hand():
    logits = torch.zeros(1, 2, 1)  # p = 1/2
    matched = (torch.tensor([0]), torch.tensor([1]), torch.tensor([0]))
    got = iou_aware_cross_entropy(logits, matched, torch.tensor([0.25]), torch.ones(1), 0.5)
    assert got.item() == pytest.approx(np.log(2) * (1 + 0.25))  # t cancels at p = 1/2; the other counts by p^2
    half = iou_aware_cross_entropy(logits, matched, torch.tensor([0.25]), torch.tensor([0.5]), 0.5)
    assert half.item() == pytest.approx(np.log(2) * (0.5 + 0.5 * 0.25 + 0.25))


def test_boxes_count_by_their_objects_weights():
    """The first window's box lies a half of its side beside its object: L1 0.1, IoU and GIoU 1/3. The second's fits."""
    placed = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    told = Predictions(torch.zeros(2, 1, 1), placed.expand(2, 1, 4))
    boxes, labels = [placed + torch.tensor([0.1, 0, 0, 0]), placed], [torch.tensor([0])] * 2
    loss = DetectionLoss(DetectionLossSettings(), 1).eval()
    for weights, share in (((1.0, 0.5), 1 / 1.5), ((0.5, 1.0), 0.5 / 1.5)):
        terms = loss.terms(told, Targets(boxes, labels, [torch.tensor([weight]) for weight in weights]))
        assert terms["l1"].item() == pytest.approx(0.1 * share, rel=1e-4)
        assert terms["giou"].item() == pytest.approx(2 / 3 * share, rel=1e-4)


def test_patches_whose_centre_is_in_a_box():
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.25, 0.25, 0.2, 0.2]])
    found = inside(boxes, torch.tensor([1, 1]), (4, 2), 3)
    assert found[1].tolist() == [[1, 0], [1, 0], [0, 0], [0, 0]]
    assert found[[0, 2]].sum() == 0


def test_a_batch_without_objects_teaches_that_there_are_none():
    batch = Scenes(2, objects=0).__getitems__([0, 1])
    said = detector()(batch.features, batch.valid, Targets.of(batch))
    assert said.loss is not None
    said.loss.backward()
    assert said.loss_dict is not None
    assert said.loss_dict["l1"] == 0
    assert said.loss_dict["classification"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_is_shared_by_two_layers_and_all_learn(kind):
    one, batch = detector(**KINDS[kind]), Scenes(2).__getitems__([0, 1])
    parts = [list(layer.parameters()) for layer in one.decoder.layers.layers]
    parts += [list(heads.parameters()) for heads in one.decoder.heads]
    pointers = [p.data_ptr() for part in parts for p in part]
    assert len(set(pointers)) == len(pointers)
    said = one(batch.features, batch.valid, Targets.of(batch))
    assert said.loss is not None
    said.loss.backward()
    without = [name for name, p in one.named_parameters() if p.grad is None]
    assert without == []
    assert said.loss_dict is not None
    heads = cast(Heads, one.decoder.heads[0])
    assert ("refined" in said.further, "patches" in said.loss_dict, len(heads.box)) == (
        (True, True, 3) if kind == "all" else (False, False, 1)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_detections_do_not_depend_on_the_batch(kind):
    one, batch = detector(**KINDS[kind]).eval(), Scenes(5).__getitems__([0, 1, 2, 3, 4])
    with torch.inference_mode():
        together = one(batch.features, batch.valid)
        alone = one(batch.features[3:4], batch.valid[3:4])
    torch.testing.assert_close(alone.logits, together.logits[3:4], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.pred_boxes, together.pred_boxes[3:4], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_under_padding_is_not_looked_at(kind):
    one, batch = detector(**KINDS[kind]).eval(), Scenes(1).__getitems__([0])
    batch.valid[:, 6:] = False
    other = batch.features.clone()
    other[:, :, 6:] = 7.0
    with torch.inference_mode():
        first, second = one(batch.features, batch.valid), one(other, batch.valid)
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.pred_boxes, second.pred_boxes)


def test_queries_are_on_real_patches_first():
    one, batch = detector(queries=40).eval(), Scenes(1).__getitems__([0])
    batch.valid[:] = False
    batch.valid[:, :2, :3] = True  # 6 patches: 24, 6 and 2 cells
    with torch.inference_mode():
        said = one(batch.features, batch.valid)
    assert (said.logits.amax(-1) > -20).sum() == 32


def test_queries_begin_at_the_best_proposals_the_best_first():
    one, batch = detector().eval(), Scenes(1).__getitems__([0])
    start, cells = one.starts[0], one.pyramid(batch.features, batch.valid)
    assert isinstance(start, Proposals)
    category = cast(torch.nn.Linear, start.heads.category[0])
    start.project = torch.nn.Sequential()  # what a cell scores is its first feature
    best, shown = [17, 3, 300], torch.zeros_like(cells.cells)
    shown[0, best, 0] = torch.tensor([3.0, 2.0, 1.0])
    with torch.inference_mode():
        category.weight.zero_()
        category.weight[1, 0] = 1
        queries, told = start(replace(cells, cells=shown), 3)
        fewer, _ = start(replace(cells, cells=shown), 2)
    assert torch.equal(queries.level[0], cells.level[best])
    torch.testing.assert_close(queries.boxes[0], cells.anchors[best])  # an untrained head moves no box
    torch.testing.assert_close(fewer.boxes, queries.boxes[:, :2])
    assert (told.scores[0].diff() < 0).all()


def test_each_level_has_heads_of_its_own():
    heads = Heads(8, 2, levels=3)
    for p in heads.box.parameters():
        torch.nn.init.normal_(p)
    alike, box = torch.ones(1, 3, 8), torch.full((1, 3, 4), 0.5)
    told = heads(alike, box, torch.tensor([[0, 2, 0]]))
    for of in (told.boxes[0], told.logits[0]):
        assert torch.equal(of[0], of[2])
        assert not torch.allclose(of[0], of[1], atol=1e-3)


def test_presets_and_what_goes_first():
    base, small = DetectionSettings(), DetectionSettings(preset="small", layers=4)
    assert (base.queries, base.layers, base.heads) == (100, 6, 8)
    assert (small.queries, small.layers) == (50, 4)
    assert base.tail is None
    tails = [DetectionSettings.model_validate({"preset": of, "tail": {}}).tail for of in ("base", "small")]
    assert [tail.lora.rank for tail in tails if tail] == [4, 2]
