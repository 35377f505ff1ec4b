"""Sizes: every parameter is counted once; memory and time are measured, not made up."""

import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from emberformer.checks.first_batch import FirstBatch, first_batch
from emberformer.checks.sizes import MIB, count_parameters, kept_bytes, measure_sizes, step_bytes, write_sizes
from emberformer.cli import app
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.blocks import blocks_of, final_norm
from emberformer.network import SpreadNetwork
from emberformer.training import SpreadTraining
from emberformer.training_settings import TrainingSettings
from tests.stores import prepare, save_settings, tiny_experiment

SIDE = 2048  # a map of float32 takes 16 MiB


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("sizes"), variants={"newest": {"model": {"temporal": "last_frame"}}},
        features={"layers": (2,)}, phase2={"path": "tail", "lora": {"rank": 3}},
        phase3={"path": "pixels", "method": "full", "blocks": 1},
        distillation={"model": {"network": "unet", "channels": 8}},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


class Exponentials(SpreadNetwork):
    """Each exponential keeps one map for the backward pass."""

    inputs = ("fire_pixels",)

    def __init__(self, number: int):
        super().__init__()
        self.scales = nn.Parameter(torch.full((number,), 0.01))

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"decoder": [self]}

    def forward(self, *, fire_pixels: torch.Tensor) -> torch.Tensor:
        return torch.stack([(scale * fire_pixels[:, 1]).exp() for scale in self.scales]).sum(0)


def large(number: int) -> FirstBatch:
    batch = {
        "fire_pixels": torch.zeros(1, 2, SIDE, SIDE),
        "stays": torch.ones(1),
        "target": torch.ones(1, SIDE, SIDE, dtype=torch.uint8),
    }
    return FirstBatch(SpreadTraining(Exponentials(number), TrainingSettings(), 1), batch, batch, 1, 1)


def test_what_is_kept_for_the_backward_pass_is_counted_to_the_byte():
    assert kept_bytes(large(3)) - kept_bytes(large(1)) == 2 * 16 * MIB


def test_a_step_takes_at_least_what_it_keeps():
    if step_bytes(large(1)) is None:
        pytest.skip("the system does not tell its peak")
    # The middle of five: the allocator hands memory of earlier tests out again at one time, and not at another.
    one, nine = (sorted(step_bytes(large(number)) or 0 for _ in range(5))[2] for number in (1, 9))
    assert one > 0.8 * kept_bytes(large(1))
    assert 4 * 16 * MIB < nine - one < 24 * 16 * MIB  # eight maps more, give or take what the allocator does


def test_parameters_of_parts_add_up():
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(2, 1, bias=False)})
    model["b"].requires_grad_(False)
    assert count_parameters(model) == {"a": (8, 0), "b": (0, 2)}


def test_sizes_of_a_configuration(experiment, tmp_path):
    settings, layout = experiment
    own, newest = measure_sizes(layout, [None, "newest"], "cpu")
    model = first_batch(settings, layout, "cpu").model
    assert {"terrain", "fusion", "temporal", "decoder", "refinement", "backbone"} <= set(own.parts)
    backbone = sum(p.numel() for p in load_backbone(settings.features).model.parameters())
    assert own.parts["backbone"] == (0, backbone)
    trainable = sum(count[0] for count in own.parts.values())
    assert trainable == sum(p.numel() for p in model.parameters())
    assert newest.name == "newest"
    assert own.measures["batch"] == settings.training.batch_size
    assert own.measures["pixels_ms"] > own.measures["cached_ms"] > 0
    text = write_sizes(tmp_path, [own, newest], "a test")
    table = pd.read_csv(tmp_path / "sizes.csv").set_index(["network", "part"])
    assert table.loc[("emberformer", "all"), ["trainable", "frozen"]].tolist() == [trainable, backbone]
    assert f"{trainable:,}" in text
    assert "forecast of a frame from its pixels, ms" in (tmp_path / "sizes.md").read_text()


def test_sizes_of_networks_whose_backbone_trains(experiment):
    """Adapters of rank 3 on query and value of two blocks; a tail's backbone counts as a whole, a student's not."""
    settings, layout = experiment
    (first,), (two,), (three,), (student,) = (
        measure_sizes(layout, [None], "cpu", phase) for phase in ("phase1", "phase2", "phase3", "student")
    )
    assert [one.name for one in (two, student)] == ["emberformer-phase2", "emberformer-student"]
    assert two.parts == {**first.parts, "adapters": (2 * 2 * 3 * (96 + 96), 0)}
    assert {part: sum(count) for part, count in three.parts.items()} == {
        part: sum(count) for part, count in two.parts.items()
    }
    model = load_backbone(settings.features).model
    wanted = [*blocks_of(model)[-1].parameters(), *final_norm(model).parameters()]
    assert three.parts["backbone"][0] == sum(p.numel() for p in wanted)
    assert three.measures["activations_mib"] > two.measures["activations_mib"] > first.measures["activations_mib"]
    assert "backbone" not in student.parts
    assert student.measures["pixels_ms"] == student.measures["cached_ms"]


def test_the_verb(experiment, tmp_path):
    settings, layout = experiment
    command = ["sizes", "--config", str(save_settings(settings, tmp_path / "config.yaml")), "--device", "cpu"]
    assert CliRunner().invoke(app, [*command, "--variant", "all"]).exit_code == 0
    measured = pd.read_csv(layout.experiment / "sizes_measured.csv")
    assert measured["network"].tolist() == ["emberformer", "newest"]
    assert CliRunner().invoke(app, [*command, "--variant", "all", "--phase", "phase2"]).exit_code == 0
    tuned = pd.read_csv(layout.experiment / "sizes_phase2_measured.csv")
    assert tuned["network"].tolist() == ["emberformer-phase2"]  # the variant has no such phase
    for refused in (["--variant", "none"], ["--variant", "newest", "--phase", "phase2"]):
        assert isinstance(CliRunner().invoke(app, [*command, *refused]).exception, InputError)
