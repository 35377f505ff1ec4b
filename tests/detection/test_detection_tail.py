"""The backbone's last blocks with adapters: silent at first, learning afterwards, and kept in the checkpoint."""

import pytest
import torch
from peft.tuners.lora import LoraLayer

from emberformer.dataset import Step
from emberformer.detection.checkpoint import load_detector
from emberformer.detection.detect import write_found
from emberformer.detection.evaluation import evaluate_detectors, read_results
from emberformer.detection.fire_objects import ClusterRule
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.sources import open_source
from emberformer.detection.tail import Tail
from emberformer.detection.training import train_detector
from emberformer.detection_settings import DetectionSettings
from emberformer.layout import Layout
from emberformer.model.lora import ALSO_CALLED
from tests.stores import prepare, tiny_experiment

DETECTION = {
    "preset": "small", "d_model": 16, "heads": 2, "queries": 6, "layers": 2, "groups": 2, "epochs": 2, "batch_size": 4,
    "rival": None, "fires": {"crop": 2, "least_front": 1, "reach": 1, "steps_per_fire": 2},
}  # fmt: skip
ADAPTERS = {
    "attention": {"rank": 4},
    "MLP": {"rank": 8, "target_modules": ("fc1", "fc2")},
    "ranks by layer": {"rank": 16, "rank_pattern": {r"layer\.3\..*": 32}},
    "adaptive": {"rank": 2, "adaptive": True},
}


RANKS = {  # layers of the third and the fourth block, and rank in each; an adaptive one begins with some to spare
    "attention": (("query", "value"), (4, 4)),
    "MLP": (("fc1", "fc2"), (8, 8)),
    "ranks by layer": (("query", "value"), (16, 32)),
    "adaptive": (("query", "value"), (3, 3)),
}


def ranks_of(tail: Tail) -> dict[str, int]:
    """Rank of the adapter of each layer, by the number of its block and the name that settings may use of it."""
    ours = {other: name for name, others in ALSO_CALLED.items() for other in others}
    ranks = {}
    for name, values in tail.backbone.named_parameters():
        if ".lora_A" in name:
            layer = name.split(".lora_A")[0].split(".")[-1]
            ranks[f"{name.split('.layer.')[1].split('.')[0]}.{ours.get(layer, layer)}"] = values.shape[0]
    return ranks


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("tail"), {"tiny": (42, 42)}, features={"layers": [2], "dtype": "float32"}
    )
    prepare(settings, layout)
    return settings, layout


def with_tail(settings, **lora) -> tuple:
    detection = DetectionSettings.model_validate({**DETECTION, "tail": {"lora": lora, "learning_rate": 1e-2}})
    changed = settings.model_copy(update={"detection": detection})
    return changed, Layout(changed)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_before_the_first_step_the_tokens_are_those_of_the_frozen_backbone(experiment, kind):
    _, layout = with_tail(experiment[0], **ADAPTERS[kind])
    source = open_source(layout)
    steps = [Step(0, fire, step) for fire, step in ((0, 0), (1, 2), (2, 1))]
    samples = FireObjectSamples(source.landscapes, steps, ClusterRule(), crop=2, flip=True)
    tail = source.begin_tail(layout, samples)
    assert tail is not None
    layers, ranks = RANKS[kind]
    assert ranks_of(tail) == {f"{2 + n}.{name}": rank for n, rank in enumerate(ranks) for name in layers}
    batch = source.for_tail(samples, tail).__getitems__([0, 1, 2])
    made = tail(batch)
    assert made.requires_grad
    torch.testing.assert_close(made, batch.features, atol=1e-4, rtol=1e-4)  # as stored
    assert batch.hidden is not None
    states, grid = batch.hidden.states[batch.hidden.known], batch.hidden.grid
    with torch.no_grad():
        adapted = tail.backbone.encode("fire", states, grid, tail.block)
        for layer in tail.backbone.modules():
            if isinstance(layer, LoraLayer):
                layer.enable_adapters(False)
        tail.backbone._use = lambda encoder: None  # type: ignore[method-assign]  # it would switch them on again
        frozen = tail.backbone.encode("fire", states, grid, tail.block)
    assert torch.equal(adapted, frozen)


def test_merged_adapters_give_the_same_tokens(experiment):
    _, layout = with_tail(experiment[0])
    source = open_source(layout)
    samples = FireObjectSamples(source.landscapes, [Step(0, 0, 1)], ClusterRule())
    tail = source.begin_tail(layout, samples)
    assert tail is not None
    batch = source.for_tail(samples, tail).__getitems__([0])
    for p in tail.backbone.trained:
        torch.nn.init.normal_(p, std=0.05)
    with torch.no_grad():
        apart = tail(batch)
        for layer in tail.backbone.modules():
            if isinstance(layer, LoraLayer):
                layer.merge()  # type: ignore[operator]
        merged = tail(batch)
    assert (apart - batch.features).abs().max() > 1e-2
    torch.testing.assert_close(apart, merged, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("adaptive", [False, True])
def test_adapters_learn_and_are_kept(experiment, adaptive):
    settings, layout = with_tail(experiment[0], rank=2, adaptive=adaptive)
    path = train_detector(settings, layout, 0, "cpu", 1)
    kept = torch.load(path, weights_only=True)["tail"]["state"]
    assert kept
    assert all("lora_" in name or "ranknum" in name for name in kept)
    assert any(value.abs().max() > 0 for name, value in kept.items() if "lora_B" in name)
    trained = load_detector(path)
    assert trained.tail is not None
    results = write_found(settings, layout, 0, "test", "cpu")
    samples = open_source(layout).whole("test")
    assert len(read_results(results, len(samples))) == len(samples)
    assert results.with_name("test-tiny.gpkg").exists()
    assert evaluate_detectors(layout).exists()
