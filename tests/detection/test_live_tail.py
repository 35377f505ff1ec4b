"""A tail of camera images: from live pixels, silent at first, in ever new views, and asked with what it has learned."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.detection import camera_images, training
from emberformer.detection.camera_input import as_images, in_colour, pixels_of
from emberformer.detection.checkpoint import load_detector
from emberformer.detection.detector import FireDetector
from emberformer.detection.live_tail import LiveCameraSamples, LiveTail
from emberformer.detection.losses import Targets
from emberformer.detection.sources import open_source, write_images
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.blocks import blocks_of
from emberformer.features.extraction import forward
from emberformer.layout import Layout
from emberformer.settings import Settings
from tests.detection.camera_sets import write_camera_set
from tests.stores import save_settings

FEATURES = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": [1, 3]}
DETECTION = {
    "preset": "small", "d_model": 16, "heads": 2, "queries": 6, "layers": 1, "groups": 1, "epochs": 2, "batch_size": 4,
}  # fmt: skip
ADAPTERS = {
    "attention": {"rank": 4},
    "MLP": {"rank": 8, "target_modules": ["fc1", "fc2"]},
    "ranks by layer": {"rank": 16, "rank_pattern": {r"layer\.3\..*": 32}},
    "adaptive": {"rank": 2, "adaptive": True},
}


def configured(folder: Path, tail: dict | None = None, **features) -> Layout:
    """A detector of the camera set in a folder; no data set of fires is named."""
    sets = [{"annotations": folder / "annotations.json", "images": folder / "images", "group": "camera"}]
    cameras = {"sets": sets, "side": 56, "views": 2, "train": 0.5, "validation": 0.25, "test": 0.25}
    detection = {**DETECTION, "cameras": cameras, "tail": {"learning_rate": 1e-2, **(tail or {})}}
    content = {
        "name": "cameras", "results": folder / "results", "features": {**FEATURES, **features}, "detection": detection,
        "logging": {"wandb": "disabled"},
    }  # fmt: skip
    return Layout(Settings.model_validate(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A camera set and its image store."""
    made = tmp_path_factory.mktemp("live") / "set"
    write_camera_set(made, count=12, size=(90, 140), cameras=4)
    write_images(configured(made), "cpu")
    return made


def begun(layout: Layout) -> tuple[LiveTail, LiveCameraSamples, LiveCameraSamples]:
    """A tail before its first step, and its windows of the training and of the test."""
    source = open_source(layout)
    stored = source.training()
    tail = source.begin_tail(layout, stored)
    assert isinstance(tail, LiveTail)
    live, test = (source.for_tail(samples, tail) for samples in (stored, source.whole("test")))
    assert isinstance(live, LiveCameraSamples)
    assert isinstance(test, LiveCameraSamples)
    return tail, live, test


@pytest.mark.parametrize("kind", ADAPTERS)
def test_before_the_first_step_the_features_are_those_of_the_store(folder, kind):
    layout = configured(folder, {"lora": ADAPTERS[kind]})
    tail, _, live = begun(layout)
    stored = open_source(layout).whole("test").__getitems__([2, 0])
    batch = live.__getitems__([2, 0])
    made = tail(batch)
    assert made.requires_grad
    assert made.shape[1] == live.channels
    torch.testing.assert_close(made, stored.features, atol=1e-5, rtol=2**-10)  # float16
    assert torch.equal(made[:, 0], stored.features[:, 0])
    assert torch.equal(batch.valid, stored.valid)
    assert not stored.valid.all()
    for name in ("boxes", "labels", "weights"):
        for one, other in zip(getattr(batch, name), getattr(stored, name), strict=True):
            torch.testing.assert_close(one, other)


def test_arithmetic_is_that_of_the_store(folder, tmp_path):
    layout = configured(folder, precision="bfloat16", dtype="float32", channel_map="triplets")
    shutil.rmtree(layout.camera_images, ignore_errors=True)
    write_images(layout, "cpu")
    tail, _, live = begun(layout)
    stored = open_source(layout).whole("test").__getitems__([0, 1])
    torch.testing.assert_close(tail(live.__getitems__([0, 1])), stored.features, atol=1e-5, rtol=1e-5)


def test_every_epoch_has_a_view_of_its_own(folder):
    _, live, test = begun(configured(folder))
    seen, originals = set(), 0
    for epoch in range(24):
        live.set_epoch(epoch)
        picture = live.picture(1)
        seen.add(picture.pixels.tobytes())
        originals += live.view(1) == 0
        assert (live.view(1) == 0) == np.array_equal(picture.pixels, live.drawing.image(int(live.images[1])).pixels)
    assert 6 <= originals <= 18  # one of two stored views is the image itself
    assert len(seen) == 24 - originals + 1
    live.set_epoch(3)
    alone, together = live.__getitems__([1]), live.__getitems__([0, 1])
    assert alone.pixels is not None
    assert together.pixels is not None
    assert torch.equal(alone.pixels[0], together.pixels[1])
    assert torch.equal(alone.boxes[0], together.boxes[1])
    before = test.picture(0).pixels
    test.set_epoch(5)
    assert np.array_equal(test.picture(0).pixels, before)


def test_all_numbers_of_a_patch_are_of_the_view(folder):
    layout = configured(folder)
    tail, live, _ = begun(layout)
    while not live.view(0):  # the image itself
        live.set_epoch(live.epoch + 1)
    pictures = [live.picture(0)]
    backbone = load_backbone(in_colour(layout.settings.features))
    seen = forward(as_images(pixels_of(pictures)), backbone, 1.0, 1)
    assert seen is not None
    expected = torch.cat([*seen.layers[0], seen.patches[0]], -1).movedim(-1, 0)
    torch.testing.assert_close(tail(live.__getitems__([0]))[0], expected, atol=1e-5, rtol=2**-10)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_two_steps_train_the_adapters_and_nothing_frozen(folder, kind):
    layout = configured(folder, {"lora": ADAPTERS[kind]})
    tail, live, _ = begun(layout)
    of = layout.settings.detection
    assert of is not None
    torch.manual_seed(0)
    detector = FireDetector(of, live.channels, len(live.categories))
    trained = {id(p) for p in tail.backbone.trained}
    before = {name: p.detach().clone() for name, p in tail.backbone.named_parameters()}
    optimizer = torch.optim.AdamW([*detector.parameters(), *tail.backbone.trained], 1e-2)
    for epoch in range(2):
        live.set_epoch(epoch)
        batch = live.__getitems__([0, 1])
        said = detector(tail(batch), batch.valid, Targets.of(batch))
        assert said.loss is not None
        optimizer.zero_grad()
        said.loss.backward()
        optimizer.step()
    assert trained
    for name, p in tail.backbone.named_parameters():
        if id(p) in trained:
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name
            assert not torch.equal(p, before[name]), name
        else:
            assert p.grad is None, name
            assert torch.equal(p, before[name]), name
    assert set(tail.state_dict()) <= {f"backbone.{name}" for name in before}
    assert all("lora_" in name or "ranknum" in name for name in tail.state_dict())


def test_a_hidden_layer_that_is_told_teaches_the_blocks_before_it(folder):
    tail, live, _ = begun(configured(folder))
    made = tail(live.__getitems__([0]))
    width = made.shape[1] // 3
    made[:, width : 2 * width].square().sum().backward()  # of block 3; blocks 3 and 4 have adapters
    steep = {name for name, p in tail.backbone.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    taught = {name.split(".layer.")[1][0] for name in steep}
    assert taught == {"2"}


def test_frozen_blocks_keep_nothing_for_a_gradient(folder):
    tail, live, _ = begun(configured(folder, {"blocks": 1}))
    asked: list[bool] = []

    def keep(block: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        asked.append(output.requires_grad)

    for block in blocks_of(tail.backbone.about.model):
        block.register_forward_hook(keep)
    tail(live.__getitems__([0]))
    assert tail.block == 3
    assert asked == [False, False, False, True]


def test_images_are_trained_on_detected_in_and_scored_from_the_command_line(folder):
    layout = configured(folder)
    config = save_settings(layout.settings, folder / "cameras.yaml")
    for verb in ("train", "detect", "evaluate"):
        asked = ["--set", "detection.asking.minimum_score=0"] + ([] if verb == "evaluate" else ["--device", "cpu"])
        done = CliRunner().invoke(app, ["detection", verb, "--config", str(config), *asked])
        assert done.exit_code == 0, done.output
    trained = load_detector(layout.detector(0) / "model.ckpt")
    assert isinstance(trained.tail, LiveTail)
    assert not trained.tail.training
    learned = {name: value for name, value in trained.tail.state_dict().items() if "lora_B" in name}
    assert learned
    assert all(value.abs().max() > 0 for value in learned.values())
    with open(layout.detection / "scores.csv", newline="") as file:
        rows = {row["score"]: float(row["value"]) for row in csv.DictReader(file)}
    assert 0 <= rows["AP"] <= 1
    found = json.loads(layout.detections(0, "test").read_text())
    assert {row["image_id"] for row in found} <= {1, 2, 3}
    source = open_source(layout)
    assert source.images is not None
    test = source.images.table.file_name.values[source.images.split == "test"]
    assert found
    assert all(row["file_name"] == test[row["image_id"] - 1] for row in found)
    live = source.for_tail(source.whole("test"), trained.tail)
    with torch.inference_mode():
        tuned, frozen = trained.tail(live.__getitems__([0])), source.whole("test").__getitems__([0]).features
    width = frozen.shape[1] // 3
    torch.testing.assert_close(tuned[:, :width], frozen[:, :width], atol=1e-5, rtol=2**-10)  # block 1 is frozen
    assert ((tuned - frozen)[:, width:].unflatten(1, (2, width)).abs().mean((0, 2, 3, 4)) > 1e-3).all()  # 3 and 4 not


def test_a_training_that_was_stopped_ends_as_one_that_was_not(folder, monkeypatch):
    layout = configured(folder, {"lora": {"rank": 2, "dropout": 0.2}})

    class Stopped(Exception):
        pass

    def stop(self: training.DetectionTraining) -> None:
        if self.current_epoch == 1:
            raise Stopped

    def state() -> dict:
        return torch.load(training.train_detector(layout.settings, layout, 0, "cpu", 1), weights_only=True)

    whole = state()
    shutil.rmtree(layout.detector(0))
    with monkeypatch.context() as patch:
        patch.setattr(training.DetectionTraining, "on_train_epoch_end", stop, raising=False)
        with pytest.raises(Stopped):
            state()
    again = state()
    for of, other in ((whole["state"], again["state"]), (whole["tail"]["state"], again["tail"]["state"])):
        assert of.keys() == other.keys()
        assert all(torch.equal(of[name], other[name]) for name in of)


def test_other_weights_are_refused(folder):
    layout = configured(folder)
    source, other = open_source(layout), configured(folder, seed=1)
    with pytest.raises(InputError, match="made with weights of SHA-256"):
        source.begin_tail(other, source.training())


def test_more_blocks_than_there_are_are_refused(folder):
    layout = configured(folder, {"blocks": 5})
    source = open_source(layout)
    with pytest.raises(InputError, match=r"tail\.blocks[\s\S]*at most the backbone's 4"):
        source.begin_tail(layout, source.training())


def test_images_that_changed_since_the_store_was_written_are_refused(folder, tmp_path):
    shutil.copytree(folder / "images", tmp_path / "images")
    shutil.copy(folder / "annotations.json", tmp_path)
    layout = configured(tmp_path)
    write_images(layout, "cpu")
    Image.new("RGB", (140, 90)).save(tmp_path / "images" / "0001.png")
    with pytest.raises(InputError, match=r"features of other images[\s\S]*detection images"):
        begun(layout)


def test_no_training_begins_on_a_store_of_another_split(folder, monkeypatch):
    settings = configured(folder).settings
    assert settings.detection is not None
    frozen = settings.model_copy(update={"detection": settings.detection.model_copy(update={"tail": None})})
    monkeypatch.setattr(camera_images, "_divided", lambda groups, *_: ["test", *["train"] * (len(groups) - 1)])
    with pytest.raises(InputError, match=r"boxes or splits[\s\S]*detection images"):
        training.train_detector(frozen, Layout(frozen), 0, "cpu", 1)


def test_without_adapters_the_store_alone_is_enough(folder):
    frozen = configured(folder).settings
    assert frozen.detection is not None
    assert frozen.detection.cameras is not None
    path = frozen.detection.cameras.sets[0].annotations
    frozen = frozen.model_copy(update={"detection": frozen.detection.model_copy(update={"tail": None})})
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert len(open_source(Layout(frozen)).training()) > 0
    finally:
        aside.rename(path)
