"""Windows over the stores: every index another step, nothing of the future, views that turn everything together."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.small_store import CACHED_INPUTS
from emberformer.checkpoint import open_landscapes
from emberformer.data.fires import observed, open_fires
from emberformer.data.normalise import TerrainNormaliser, wind_input
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps, training_terrain
from emberformer.errors import InputError
from emberformer.features.store import open_features
from emberformer.landscape import Landscape, PackedFrames
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.views import turned
from emberformer.windows import turn
from tests.stores import ingest_all, prepare, tiny_experiment


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    experiment, layout = tiny_experiment(tmp_path_factory.mktemp("two"), {"tiny": (28, 42), "other": (50, 36)})
    prepare(experiment, layout)
    split = read_split(layout.split)
    return experiment, layout, split, open_landscapes(layout, Sizes.of(layout, split))


def test_every_index_is_another_step_and_every_step_is_there(opened):
    _, layout, split, landscapes = opened
    steps = [s for name in ("train", "validation", "test") for s in list_steps(landscapes, split, name)]
    assert len(set(steps)) == len(steps)
    assert len(steps) == sum(int((open_fires(layout.fires(n)).row_size - 1).sum()) for n in ("tiny", "other"))
    fires = {
        name: {s.fire for s in list_steps(landscapes[:1], split, name)} for name in ("train", "validation", "test")
    }
    assert not fires["train"] & fires["test"]
    assert not fires["train"] & fires["validation"]


def test_an_item_is_the_stores_rows(opened):
    _, layout, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    index = next(n for n, s in enumerate(steps) if s.step == 1)
    item, step = FireSteps(landscapes, steps, 3, inputs=CACHED_INPUTS)[index], steps[index]
    landscape = landscapes[step.landscape]
    fires, row = landscape.fires, int(landscape.row_start[step.fire]) + 1
    height, width = fires.sizes["y"], fires.sizes["x"]
    assert item["valid_t"].tolist() == [False, True, True]
    assert (item["frame_patches"][0] == 0).all()
    assert (item["wind"][0] == 0).all()
    assert np.array_equal(item["fire_pixels"][0, :height, :width], fires.burned[row].values == 1)
    assert np.array_equal(item["target"][:height, :width], observed(fires, row + 1))
    assert (item["target"][height:] == 255).all()
    assert (item["target"][:, width:] == 255).all()
    assert np.allclose(item["wind"][-1], landscape.wind[row] / 10)
    name = landscape.name
    features = open_features(layout.features(name))
    stored = features.frame_patches[int(features.frame_of[row])].values
    assert np.array_equal(item["frame_patches"][-1].numpy(), stored)
    terrain = features.terrain_patches[int(features.terrain_index[step.fire])]
    for channel, number in enumerate(landscape.channel_order):
        own = 0 if number is None else terrain[number].values
        assert (item["terrain_patches"][channel].numpy() == own).all()


def test_a_batch_is_its_items_also_in_used_memory(opened):
    _, _, split, landscapes = opened
    steps = [s for s in list_steps(landscapes, split, "train") if s.landscape == 0]
    fresh = FireSteps(landscapes, steps, 3, crop=2, flip=True, seed=3, inputs=CACHED_INPUTS)
    ring = FireSteps(landscapes, steps, 3, crop=2, flip=True, seed=3, buffers=2, inputs=CACHED_INPUTS)
    numbers = list(range(len(steps)))
    for batch in (numbers[:4], numbers[4:8], numbers[2:6], numbers[7:8], numbers[1:5]):
        whole = ring.__getitems__(batch)
        for place, index in enumerate(batch):
            item = fresh[index]
            assert all(torch.equal(whole[key][place], item[key]) for key in item)


def test_chance_is_the_epoch_and_the_index_alone(opened):
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    dataset = FireSteps(landscapes, steps, 3, crop=2, flip=True, inputs=CACHED_INPUTS)
    torch.manual_seed(0)
    before = [dataset[n] for n in (5, 3)]
    torch.manual_seed(1)
    after = [dataset[n] for n in (3, 5)][::-1]
    assert all(torch.equal(a[key], b[key]) for a, b in zip(before, after, strict=True) for key in a)
    dataset.epoch = 1
    again = [dataset[n] for n in range(len(dataset))]
    dataset.epoch = 0
    first = [dataset[n] for n in range(len(dataset))]
    assert any(not torch.equal(a["fire_pixels"], b["fire_pixels"]) for a, b in zip(again, first, strict=True))


def test_some_items_do_not_know_the_fuel_and_all_else_is_as_ever(opened):
    _, _, split, landscapes = opened
    steps = [s for s in list_steps(landscapes, split, "train") if s.landscape == 0]
    known, dropped = (
        FireSteps(landscapes, steps, 3, category_dropout=share, inputs=CACHED_INPUTS) for share in (0.0, 0.5)
    )
    without = 0
    for index in range(len(steps)):
        first, second = known[index], dropped[index]
        assert all(torch.equal(first[key], second[key]) for key in first if key != "categories")
        without += int((second["categories"] == 0).all())
        assert (second["categories"] == 0).all() or torch.equal(first["categories"], second["categories"])
    assert 0 < without < len(steps)


def test_the_time_of_a_step_is_told_wrongly_and_all_else_is_as_ever(opened):
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    rightly, wrongly = (FireSteps(landscapes, steps, 3, rate_noise=noise, inputs=CACHED_INPUTS) for noise in (0.0, 0.5))
    factors = []
    later = [index for index, step in enumerate(steps) if step.step > 0]
    assert all(
        np.array_equal(rightly[n]["resolution"], wrongly[n]["resolution"]) for n in set(range(len(steps))) - set(later)
    )
    for index in later:
        first, second = rightly[index], wrongly[index]
        assert all(torch.equal(first[key], second[key]) for key in first if key != "resolution")
        assert np.array_equal(first["resolution"], landscapes[steps[index].landscape].resolution)
        assert second["resolution"][0] == first["resolution"][0]  # a pixel's metres are those of the terrain
        factors.append(float(second["resolution"][1] / first["resolution"][1]))
    assert len(set(factors)) == len(later)
    assert 0.25 < np.std(np.log(factors)) < 1


def test_images_of_angles_are_left_out_where_windows_turn_and_of_no_other_band(opened):
    experiment, layout, split, _ = opened
    still = experiment.model_copy(update={"training": experiment.training.model_copy(update={"flip": False})})
    turning, all_bands = Sizes.of(layout, split).channels, Sizes.of(Layout(still), split).channels
    assert set(all_bands) - set(turning) == {"aspect_deg.sin", "aspect_deg.cos"}
    assert list(turning) == [channel for channel in all_bands if channel in turning]


def test_features_turn_with_the_picture(opened):
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    dataset = FireSteps(landscapes, steps, 3, crop=2, flip=True, inputs=CACHED_INPUTS)
    views = set()
    for index in range(len(dataset)):
        sample = dataset._sample(index)
        views.add(sample.frames.view)
        item, landscape = dataset[index], landscapes[steps[index].landscape]
        frames = open_rows(landscape, sample.frames)
        assert torch.equal(item["frame_patches"][-1], frames)
    assert len(views) > 3


def open_rows(landscape, cut):
    """The newest frame's window, turned, from the mapped rows themselves."""
    (row,) = landscape.frame_reader.patches.pieces(range(cut.rows[-1], cut.rows[-1] + 1))
    return torch.from_numpy(turned(row[0, cut.y, cut.x], 0, cut.view).copy())


def test_packed_frames_give_back_every_pixel_and_forget_the_oldest():
    rng = np.random.default_rng(0)
    frames = PackedFrames(5, 7)
    masks = [rng.choice([0, 1, 255], (5, 7)).astype(np.uint8) for _ in range(3)]
    masks.append((rng.random((5, 7)) < 0.5).astype(np.uint8))
    frames.most = 3
    for row, mask in enumerate(masks):
        frames.keep(row, mask)
    assert 0 not in frames
    assert all(np.array_equal(frames[row], masks[row]) for row in (1, 2, 3))


def test_nothing_of_the_future_leaks_in(opened):
    """Items of one fire at step t are the same whatever its later frames hold."""
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    index = next(n for n, s in enumerate(steps) if s.step == 2)
    dataset, step = FireSteps(landscapes, steps, 3, inputs=CACHED_INPUTS), steps[index]
    before = {key: value.clone() for key, value in dataset[index].items()}
    landscape = landscapes[step.landscape]
    row = int(landscape.row_start[step.fire]) + 2
    kept = landscape.fires
    burned = kept.burned.values.copy()
    burned[row + 1 :] = 1 - burned[row + 1 :]
    height, width = kept.sizes["y"], kept.sizes["x"]
    landscape.fires = kept.assign(burned=(kept.burned.dims, burned))
    landscape._frames, landscape._targets = PackedFrames(height, width), PackedFrames(height, width)
    try:
        after = dataset[index]
    finally:
        landscape.fires = kept
        landscape._frames, landscape._targets = PackedFrames(height, width), PackedFrames(height, width)
    for key in before:
        assert torch.equal(before[key], after[key]) == (key != "target"), key


def test_a_crop_holds_growth_and_fits_the_grid(opened):
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    dataset = FireSteps(landscapes, steps, 3, crop=2, inputs=CACHED_INPUTS)
    for index in range(len(dataset)):
        item = dataset[index]
        assert tuple(item["frame_patches"].shape[1:3]) == dataset.size(index) == (2, 2)
        assert item["target"].shape == (28, 28)
        grown = (item["target"] == 1) & (item["fire_pixels"][0] == 0)
        whole = FireSteps(landscapes, steps, 3, inputs=CACHED_INPUTS)[index]
        assert grown.any() or not ((whole["target"] == 1) & (whole["fire_pixels"][0] == 0)).any()


@settings(max_examples=16)
@given(st.integers(0, 7), st.integers(0, 10_000))
def test_views_turn_wind_and_slopes_with_the_picture(view, seed):
    """A slope band that is the gradient of a height field is still its gradient after the turn."""
    rng = np.random.default_rng(seed)
    height = rng.normal(size=(6, 6)).cumsum(0).cumsum(1)

    def gradient(field):
        rows, columns = np.gradient(field)
        return np.stack([columns, -rows])  # east, north; rows run south

    item = {
        "target": np.zeros((6, 6)),
        "fire_pixels": height[None],
        "terrain_pixels": gradient(height),
        "categories": np.zeros((1, 6, 6)),
        "wind": gradient(height)[:, 2, 3][None],
    }
    view_of = turn(item, view, [(0, 1)])
    assert np.allclose(view_of["terrain_pixels"], gradient(view_of["fire_pixels"][0]))
    strength = np.hypot(*item["wind"][0])
    assert np.hypot(*view_of["wind"][0]) == pytest.approx(strength)
    place = np.argmin(np.abs(view_of["terrain_pixels"] - view_of["wind"][0][:, None, None]).sum(0))
    assert view_of["fire_pixels"][0].flat[place] == pytest.approx(height[2, 3])


def test_normaliser_sees_training_fires_only(opened):
    _, layout, split, _ = opened
    fires = open_fires(layout.fires("tiny"))
    terrains = training_terrain(fires, split["tiny"])
    fitted = TerrainNormaliser.fit([(fires, terrains)])
    values = fires.terrain.sel(band="elevation").values[terrains]
    assert fitted.continuous["elevation"] == pytest.approx((np.nanmean(values), np.nanstd(values)), rel=1e-4)
    again = TerrainNormaliser.from_dict(fitted.to_dict())
    assert again == fitted
    channels, categories = again.apply(fires, terrains[0])
    assert channels.shape[0] == len(again.channels)
    assert np.isfinite(channels).all()
    assert categories.max() < again.category_sizes[0]
    unseen = TerrainNormaliser(fitted.continuous, fitted.angles, fitted.binary, {"fuel_model|1": (999,)})
    assert (unseen.apply(fires, terrains[0])[1] == 0).all()


def test_unknown_wind_is_still_air():
    assert wind_input(np.array([[np.nan, np.nan], [10.0, -5.0]])).tolist() == [[0, 0], [1, -0.5]]


def test_features_of_other_fires_are_refused(tmp_path):
    experiment, layout = tiny_experiment(tmp_path)
    prepare(experiment, layout)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    changed = experiment.model_copy(
        update={"datasets": {"tiny": experiment.datasets["tiny"].model_copy(update={"weather": None})}}
    )
    ingest_all(changed, layout)
    with pytest.raises(InputError, match="features of other fires"):
        Landscape("tiny", layout.fires("tiny"), layout.features("tiny"), sizes.normaliser, sizes.channels)


def test_frames_that_are_thrown_out_while_others_are_read_are_there_all_the_same(opened):
    landscape = Landscape.__new__(Landscape)
    landscape.__dict__ = {**opened[3][0].__dict__, "_frames": PackedFrames(28, 42)}
    landscape._frames.most = 2
    expected = landscape.fires.burned[:3].values
    assert np.array_equal(landscape.burned(0, range(2)), expected[:2])
    assert np.array_equal(landscape.burned(0, range(3)), expected)


def test_the_frame_that_was_asked_for_last_is_thrown_out_last():
    frames = PackedFrames(5, 7)
    frames.most = 2
    for row in (0, 1):
        frames.keep(row, np.zeros((5, 7), np.uint8))
    assert not frames[0].any()
    frames.keep(2, np.zeros((5, 7), np.uint8))
    assert [row in frames for row in range(3)] == [True, False, True]


def test_forgotten_categories_are_remembered_for_the_next_item(opened):
    _, _, split, landscapes = opened
    steps = list_steps(landscapes, split, "train")[:1]
    known, forgotten = (
        FireSteps(landscapes, steps, 3, category_dropout=share, inputs=CACHED_INPUTS) for share in (0.0, 1.0)
    )
    assert not forgotten[0]["categories"].any()
    assert known[0]["categories"].any()


def test_what_the_newest_frame_does_not_tell_is_no_new_fire(opened):
    """As in scores (`FireStep.new_fire`): it may have burned before."""
    _, _, split, landscapes = opened
    step = list_steps(landscapes, split, "train")[0]
    own = landscapes[step.landscape]
    row = int(own.row_start[step.fire]) + step.step
    burned = own.fires.burned.values.copy()
    grown = (burned[row] == 0) & (observed(own.fires, row + 1) == 1)
    assert grown.any()
    burned[row][grown] = 255
    hidden = Landscape.__new__(Landscape)
    fires = own.fires.assign(burned=(own.fires.burned.dims, burned))
    hidden.__dict__ = {**own.__dict__, "fires": fires, "_frames": PackedFrames(*burned.shape[1:])}
    chosen = [hidden if one is own else one for one in landscapes]
    target = FireSteps(chosen, [step], 3, inputs=CACHED_INPUTS)[0]["target"].numpy()[: grown.shape[0], : grown.shape[1]]
    assert (target[grown] == 255).all()
    assert np.array_equal(target[~grown], observed(own.fires, row + 1)[~grown])
