"""The image store: tokens are the backbone's own, boxes lie on the canvas, and it is whole or not there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from PIL import Image

from emberformer.detection import image_writing
from emberformer.detection.camera_images import CameraSource, list_images
from emberformer.detection.camera_samples import CameraSamples
from emberformer.detection.image_store import ImageStore
from emberformer.detection.image_writing import write_image_store
from emberformer.detection.pixel_views import ViewRule, letterbox
from emberformer.detection.view_drawing import ViewDrawing
from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.features.backbone import load_backbone
from tests.detection.camera_sets import write_camera_set

SETTINGS = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32", layers=(1, 2))
SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}
SIDE = 56


def _write(path: Path, source: CameraSource, settings: FeatureSettings = SETTINGS, **changes) -> None:
    write_image_store(path, [source], settings, SIDE, **{"shares": SHARES, "device": "cpu", "views": 3} | changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cameras")
    source = CameraSource(*write_camera_set(folder / "set", count=8, size=(90, 140), cameras=4), group="camera")
    _write(folder / "images.zarr", source)
    return source, folder / "images.zarr"


def test_it_opens_in_xarray_and_names_what_it_holds(written):
    opened = xr.open_zarr(written[1])
    assert opened.patches.dims == ("image", "view", "patch_y", "patch_x", "feature")
    assert opened.patches.dtype == np.float16
    assert opened.layers.sizes["layer"] == 2
    assert opened.attrs["categories"] == ["smoke", "flame"]
    has = np.isfinite(opened.cls.values[..., 0])
    assert has[:, 0].all()
    assert np.array_equal(has[:, 1], opened.split.values == "train")
    groups = {}
    for group, split in zip(opened.group.values, opened.split.values, strict=True):
        groups.setdefault(group, set()).add(split)
    assert len(groups) == 4
    assert all(len(splits) == 1 for splits in groups.values())


def test_tokens_are_the_backbones_of_the_normalised_colour_image(written):
    source, path = written
    store, told = ImageStore(path), list_images([source], None, SHARES, 0)
    backbone = load_backbone(SETTINGS.model_copy(update={"channel_map": "triplets"}))
    pixels = np.asarray(Image.open(told.images[3].path))
    picture = letterbox(pixels, told.images[3].told.objects, SIDE)
    tokens = backbone.encode(torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float() / 255)
    assert np.allclose(store.read("patches", 3), tokens.patches[0].numpy(), atol=5e-3)
    assert np.allclose(store.read("layers", 3), tokens.layers[0].numpy(), atol=5e-3)
    assert np.allclose(store.read("cls", 3), tokens.cls[0].numpy(), atol=5e-3)
    assert np.allclose(store.objects(3).boxes, told.images[3].told.objects.boxes * SIDE / 140)
    assert store.read("valid", 3)[:, 0].tolist() == pytest.approx([1, 1, 8 / 14, 0])


def test_samples_serve_layers_beside_each_other_and_boxes_that_go_back(written):
    source, path = written
    store, told = ImageStore(path), list_images([source], None, SHARES, 0)
    samples = CameraSamples(store, "test")
    batch = samples.__getitems__([1, 0])
    image = int(samples.images[1])
    assert batch.features.shape == (2, samples.channels, 4, 4)
    width = samples.channels // 3
    for place, expected in enumerate((*store.read("layers", image), store.read("patches", image))):
        assert np.array_equal(
            batch.features[0, place * width : (place + 1) * width].numpy(), np.moveaxis(expected, -1, 0)
        )
    assert batch.valid[0].sum(1).tolist() == [4, 4, 4, 0]
    assert batch.index.tolist() == [1, 0]
    back = samples.to_image(1, batch.boxes[0].double().numpy())
    assert np.allclose(back, told.images[image].told.objects.boxes, atol=1e-3)


def test_random_views_change_with_the_epoch_and_stay_within_it(written):
    samples = CameraSamples(ImageStore(written[1]), "train", random_views=True)
    seen = set()
    for epoch in range(12):
        samples.set_epoch(epoch)
        assert samples.view(0) == samples.view(0)
        seen.add(samples.view(0))
    assert seen == {0, 1, 2}
    samples.set_epoch(3)
    alone, together = samples.__getitems__([1]), samples.__getitems__([0, 1])
    assert torch.equal(alone.features[0], together.features[1])
    with pytest.raises(InputError, match="training images only"):
        CameraSamples(ImageStore(written[1]), "test", random_views=True)


def test_an_interrupted_store_goes_on_and_equals_one_in_a_go(written, tmp_path, monkeypatch):
    source, path = written
    monkeypatch.setattr(image_writing, "BLOCK_IMAGES", 3)
    write_block, calls = image_writing._write_block, []

    def stops(*arguments):
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write_block(*arguments)

    monkeypatch.setattr(image_writing, "_write_block", stops)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "images.zarr", source)
    assert not (tmp_path / "images.zarr").exists()
    _write(tmp_path / "images.zarr", source)
    assert [rows.start for rows in calls] == [0, 3, 3, 6]
    one, other = (xr.open_zarr(of).load() for of in (path, tmp_path / "images.zarr"))
    xr.testing.assert_identical(one, other)
    assert not list(tmp_path.glob("*.partial"))
    assert not (tmp_path / "images.zarr" / ".done").exists()


def test_a_store_that_was_stopped_at_its_tables_encodes_nothing_again(written, tmp_path, monkeypatch):
    source, path = written
    consolidate, write_block, calls = zarr.consolidate_metadata, image_writing._write_block, []

    def stops(*arguments, **named):
        consolidate(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(image_writing, "_write_block", lambda *of: calls.append(of[2]) or write_block(*of))
    monkeypatch.setattr(zarr, "consolidate_metadata", stops)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "images.zarr", source)
    monkeypatch.setattr(zarr, "consolidate_metadata", consolidate)
    encoded = len(calls)
    _write(tmp_path / "images.zarr", source)
    assert len(calls) == encoded > 0
    xr.testing.assert_identical(xr.open_zarr(path).load(), xr.open_zarr(tmp_path / "images.zarr").load())
    assert not (tmp_path / "images.zarr" / ".done").exists()


def test_what_an_other_call_has_begun_is_not_taken_up(written, tmp_path, monkeypatch):
    source, path = written
    monkeypatch.setattr(image_writing, "_finish", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "images.zarr", source, seed=5)
    monkeypatch.undo()
    _write(tmp_path / "images.zarr", source)
    xr.testing.assert_identical(xr.open_zarr(path).load(), xr.open_zarr(tmp_path / "images.zarr").load())


@pytest.mark.parametrize("damage", ["cut", "size", "depth"])
def test_an_image_that_cannot_be_used_is_named(tmp_path, damage):
    annotations, images = write_camera_set(tmp_path / "set", count=3)
    if damage == "cut":
        (images / "0001.png").write_bytes((images / "0001.png").read_bytes()[:900])
    else:
        Image.new("RGB" if damage == "size" else "I;16", (30, 20)).save(images / "0001.png")
    found = {"cut": "no readable image", "size": "20 x 30 pixels", "depth": "mode I;16"}[damage]
    with pytest.raises(InputError, match=rf"0001\.png[\s\S]*{found}"):
        _write(tmp_path / "images.zarr", CameraSource(annotations, images), views=1)
    assert not (tmp_path / "images.zarr").exists()


def test_tokens_that_overflow_half_precision_are_refused(written, tmp_path, monkeypatch):
    forward = image_writing.forward

    def large(*arguments):
        seen = forward(*arguments)
        assert seen is not None
        return replace(seen, layers=seen.layers * 1e6)

    monkeypatch.setattr(image_writing, "forward", large)
    with pytest.raises(InputError, match="too large for float16"):
        _write(tmp_path / "images.zarr", written[0])


def test_a_damaged_or_missing_record_is_named(written, tmp_path):
    store = ImageStore(written[1])
    test = int(np.flatnonzero(store.split == "test")[0])
    with pytest.raises(InputError, match="nothing is stored"):
        store.read("patches", test, 1)
    with pytest.raises(InputError, match="no store"):
        ImageStore(tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"settings": SETTINGS.model_copy(update={"dtype": "int8"})}, "int8"),
        ({"categories": ("fog",)}, "fog"),
    ],
)
def test_settings_that_do_not_fit_are_refused(written, tmp_path, changes, found):
    with pytest.raises(InputError, match=found):
        _write(tmp_path / "images.zarr", written[0], **changes)


def test_a_side_of_no_whole_patches_is_refused(written, tmp_path):
    with pytest.raises(InputError, match="take 56"):
        write_image_store(tmp_path / "images.zarr", [written[0]], SETTINGS, 60, device="cpu")


def test_splits_are_given_by_group_or_drawn(written, tmp_path):
    source = written[0]
    given = [CameraSource(source.annotations, source.images, split) for split in ("train", "test")]
    assert [image.split for image in list_images(given, None, SHARES, 0).images] == ["train"] * 8 + ["test"] * 8
    alone = CameraSource(source.annotations, source.images)
    first, second = ([i.split for i in list_images([alone], None, SHARES, seed).images] for seed in (0, 1))
    assert first != second
    assert sorted(first) == sorted(["train"] * 4 + ["validation"] * 2 + ["test"] * 2)
    with pytest.raises(InputError, match="no video_id"):
        list_images([CameraSource(source.annotations, source.images, group="video_id")], None, SHARES, 0)
    with pytest.raises(InputError, match="train or validation or test"):
        list_images([CameraSource(source.annotations, source.images, "val")], None, SHARES, 0)


def test_a_camera_of_two_sets_is_in_one_split(tmp_path):
    sets = [write_camera_set(tmp_path / name, 8, seed, cameras=4) for seed, name in enumerate(("flame", "smoke"))]
    for seed in range(3):
        sources = [CameraSource(*one, group="camera") for one in sets]
        images = list_images(sources, None, SHARES, seed).images
        splits = {one.group: {image.split for image in images if image.group == one.group} for one in images}
        assert all(len(of) == 1 for of in splits.values())
        assert len(set.union(*splits.values())) > 1
    for given in (["train", None], ["train", "test"]):
        sources = [CameraSource(*one, split, "camera") for one, split in zip(sets, given, strict=True)]
        with pytest.raises(InputError, match="group 'camera 0'"):
            list_images(sources, None, SHARES, 0)


def test_equal_values_of_different_keys_are_no_group(tmp_path):
    sets = []
    for key in ("camera", "video_id"):
        annotations, images = write_camera_set(tmp_path / key, 4, cameras=1)
        told = json.loads(annotations.read_text())
        told["images"] = [{**entry, key: 3} for entry in told["images"]]
        annotations.write_text(json.dumps(told))
        sets.append(CameraSource(annotations, images, group=key))
    shares = {"train": 0.5, "validation": 0.0, "test": 0.5}
    splits = [image.split for image in list_images(sets, None, shares, 0).images]
    assert len(set(splits[:4])) == len(set(splits[4:])) == 1
    assert splits[0] != splits[4]
    given = [replace(one, split=split) for one, split in zip(sets, ("train", "test"), strict=True)]
    assert [image.split for image in list_images(given, None, shares, 0).images] == ["train"] * 4 + ["test"] * 4


def test_folders_of_two_sets_are_told_apart(tmp_path):
    sets = [write_camera_set(tmp_path / name, 4, seed) for seed, name in enumerate(("flame", "smoke"))]
    sources = [CameraSource(*one, group="folder") for one in sets]
    images = list_images(sources, None, {"train": 0.5, "validation": 0.0, "test": 0.5}, 0).images
    assert {image.group for image in images} == {"."}
    assert len({image.split for image in images[:4]}) == len({image.split for image in images[4:]}) == 1
    assert images[0].split != images[4].split


def test_views_draw_on_training_images_alone(written):
    images = list_images([written[0]], None, SHARES, 0).images
    drawing = ViewDrawing(images, SIDE, ViewRule(mosaic=1.0, paste=1.0), 0)
    train = next(number for number, image in enumerate(images) if image.split == "train")
    for view in range(1, 8):
        drawing.view(train, view)
    assert set(drawing._pictures) == {number for number, image in enumerate(images) if image.split == "train"}
