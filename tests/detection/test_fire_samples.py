"""Samples of fires: features are the stores' rows, boxes lie around new fire in every window and view, and go back."""

from typing import cast

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from emberformer.checkpoint import open_landscapes
from emberformer.cli import app
from emberformer.data.split import read_split
from emberformer.dataset import Step
from emberformer.detection.boxes import to_pixels
from emberformer.detection.coco import read_coco
from emberformer.detection.fire_objects import ClusterRule, newly_burned, objects_new_in
from emberformer.detection.fire_samples import LOUDNESS, FireObjectSamples
from emberformer.detection.samples import DetectionSamples
from emberformer.detection.sources import open_source
from emberformer.errors import InputError
from emberformer.features.store import open_features
from emberformer.network_sizes import Sizes
from emberformer.views import turned
from emberformer.windows import padded, pixel_slices
from tests.stores import leaking, prepare, save_settings, tiny_experiment

RULE = ClusterRule(reach=1, least_front=1)
CATEGORIES = ("front_now", "spot_now", "front_next", "spot_next")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    windows, folder = {"tiny": (28, 42), "other": (42, 42)}, tmp_path_factory.mktemp("fires")
    experiment, layout = tiny_experiment(folder, windows, features={"layers": [1, 2]}, detection={})
    save_settings(experiment, folder / "config.yaml")
    prepare(experiment, layout)
    split = read_split(layout.split)
    return layout, open_landscapes(layout, Sizes.of(layout, split))


def _steps(landscapes) -> list[Step]:
    return [
        Step(number, fire, step)
        for number, landscape in enumerate(landscapes)
        for fire, size in enumerate(landscape.row_size)
        for step in range(int(size))
    ]


def test_where_a_whole_raster_lies_is_known_without_looking(opened, monkeypatch):
    samples = FireObjectSamples(opened[1], _steps(opened[1]), RULE)
    looked = [samples._placed(index)[0] for index in range(len(samples))]
    monkeypatch.setattr(FireObjectSamples, "_placed", lambda self, index: pytest.fail("it looked"))
    assert [samples.window(index) for index in range(len(samples))] == looked


def test_a_patch_is_told_its_tokens_of_two_frames_and_the_wind(opened):
    layout, landscapes = opened
    samples = FireObjectSamples(landscapes, [Step(0, 1, 0), Step(0, 1, 2)], RULE)
    batch = cast(DetectionSamples, samples).__getitems__([0, 1])
    assert batch.features.shape == (2, samples.channels, *samples.grid)
    assert samples.categories == CATEGORIES
    stored = open_features(layout.features("tiny"))
    row = int(landscapes[0].row_start[1])
    width = stored.sizes["feature"]
    for sample, step in enumerate((0, 2)):
        newest = int(stored.frame_of[row + step])
        layers = stored.frame_layers[newest].values  # [L Gy Gx D]
        features = batch.features[sample, :, :2].numpy()
        assert np.array_equal(features[:width], np.moveaxis(layers[0], -1, 0))
        assert np.array_equal(features[width : 2 * width], np.moveaxis(layers[1], -1, 0))
        assert np.array_equal(features[2 * width : 3 * width], np.moveaxis(stored.frame_patches[newest].values, -1, 0))
        assert np.allclose(features[6 * width + 1], LOUDNESS * stored.frame_burned[newest].values)
        assert features[-1, 0, 0] == (step > 0)
        assert np.allclose(features[-3:-1, 0, 0], landscapes[0].wind[row + step] / 10)
    before = int(stored.frame_of[row + 1])
    assert np.array_equal(
        batch.features[1, 5 * width : 6 * width, :2].numpy(), np.moveaxis(stored.frame_patches[before].values, -1, 0)
    )
    assert not batch.features[0, 3 * width : 6 * width].any()
    assert batch.valid[:, :2].all()
    assert not batch.valid[:, 2:].any()  # the smaller landscape has two rows of patches
    assert not batch.features[:, :, 2:].any()


def test_the_burned_share_of_cells_is_told_as_the_window_is_turned(opened):
    """With a cell a pixel, the cells are the masks themselves, row by row in each patch."""
    _, landscapes = opened
    pixels, seen = landscapes[0].pixels, set()
    samples = FireObjectSamples(landscapes, [Step(0, 1, 2)], RULE, cells=pixels, crop=2, flip=True)
    first = 2 * samples.tokens
    for epoch in range(20):
        samples.set_epoch(epoch)
        window, features = samples.window(0), cast(DetectionSamples, samples).__getitems__([0]).features[0]
        y, x = (pixel_slices(patches, pixels) for patches in (window.y, window.x))
        for number in range(2):
            burned = landscapes[0].burned(1, range(window.row - 1 + number, window.row + number))[0, y, x] == 1
            of_cells = features[first + number * pixels**2 : first + (number + 1) * pixels**2] / LOUDNESS
            rows, columns = of_cells.shape[1:]
            mask = of_cells.view(pixels, pixels, rows, columns).permute(2, 0, 3, 1).reshape(rows * pixels, -1)
            assert np.array_equal(mask.numpy() == 1, turned(padded(burned, window.size, 0), 0, window.view))
            assert burned.any()
        seen.add(window.view)
    assert len(seen) > 4


def test_cells_that_do_not_divide_a_patch_are_refused(opened):
    _, landscapes = opened
    samples = FireObjectSamples(landscapes, [Step(0, 1, 2)], RULE, cells=3)
    with pytest.raises(InputError, match=r"detection\.fires\.cells"):
        cast(DetectionSamples, samples).__getitems__([0])


def test_boxes_go_back_to_the_raster_from_every_window_and_view(opened):
    _, landscapes = opened
    steps = _steps(landscapes)
    samples = FireObjectSamples(landscapes, steps, RULE, ("now",), crop=2, flip=True)
    views, seen = set(), 0
    for epoch in range(2):
        samples.set_epoch(epoch)
        batch = samples.__getitems__(list(range(len(steps))))
        for index, step in enumerate(steps):
            window, landscape = samples.window(index), landscapes[step.landscape]
            views.add(window.view)
            frames = landscape.fires.burned[window.row - (step.step > 0) : window.row + 1].values
            new = newly_burned(frames[-1], frames[0] if step.step else None)
            low = np.array([window.y.start, window.x.start]) * landscape.pixels
            inside = np.zeros_like(new)
            inside[low[0] : low[0] + window.size[0], low[1] : low[1] + window.size[1]] = True
            covered = np.zeros_like(new)
            for box in window.to_raster(batch.boxes[index].double().numpy()):
                x0, y0, x1, y1 = box.round().astype(int)
                assert np.abs(box - box.round()).max() < 1e-3
                part = new[y0:y1, x0:x1]
                assert all(edge.any() for edge in (part[0], part[-1], part[:, 0], part[:, -1]))
                covered[y0:y1, x0:x1] = True
                seen += 1
            assert not (new & inside & ~covered).any()
    assert views == set(range(8))
    assert seen > len(steps)


def test_boxes_of_whole_rasters_are_those_of_the_fires_store(opened):
    _, landscapes = opened
    samples = FireObjectSamples(landscapes, [Step(0, 2, 1)], RULE)
    batch = samples.__getitems__([0])
    row = int(landscapes[0].row_start[2]) + 1
    told = [objects_new_in(landscapes[0].fires, row + later, RULE).boxes(RULE) for later in (0, 1)]
    expected = np.concatenate([of.boxes for of in told])
    found = to_pixels(batch.boxes[0].double().numpy(), (samples.grid[0] * 14, samples.grid[1] * 14))
    assert np.allclose(found, expected, atol=1e-4)
    assert batch.labels[0].tolist() == [*told[0].labels, *(told[1].labels + 2)]


def test_the_last_frame_has_no_next_objects_and_the_first_has_ignitions(opened):
    _, landscapes = opened
    last = int(landscapes[0].row_size[0]) - 1
    samples = FireObjectSamples(landscapes, [Step(0, 0, last), Step(0, 0, 0)], RULE)
    batch = samples.__getitems__([0, 1])
    assert set(batch.labels[0].tolist()) <= {0, 1}
    assert 1 in batch.labels[1].tolist()


def test_chance_is_of_seed_epoch_and_index_only(opened):
    _, landscapes = opened
    steps = _steps(landscapes)[:6]
    one, two = (FireObjectSamples(landscapes, steps, RULE, crop=2, flip=True, seed=4) for _ in range(2))
    alone, together = one.__getitems__([3]), two.__getitems__([1, 3])
    assert torch.equal(alone.features[0], together.features[1])
    assert torch.equal(alone.boxes[0], together.boxes[1])
    two.set_epoch(1)
    assert any(two.window(n) != one.window(n) for n in range(6))


def test_no_detector_learns_from_fires_that_leak(opened):
    layout, _ = opened
    with leaking(layout), pytest.raises(InputError, match="burn alike"):
        open_source(layout)


def test_the_command_line_writes_the_objects_of_the_fires_as_coco_sets(opened, tmp_path):
    layout, landscapes = opened
    config = layout.settings.results.parent / "config.yaml"
    options = ["--config", str(config), "--dataset", "tiny", "--out", str(tmp_path / "set")]
    run = CliRunner().invoke(app, ["detection", "annotate", *options])
    assert run.exit_code == 0, run.output
    sets = [read_coco(path, tmp_path / "set" / "images") for path in sorted((tmp_path / "set").glob("*.json"))]
    assert len(sets) == 3
    assert sum(len(coco.images) for coco in sets) == landscapes[0].row_size.sum()
    assert sets[0].categories == CATEGORIES
