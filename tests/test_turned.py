"""Turned worlds: what a view does to a fires store, and networks without a direction of their own score the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import benchmarks.turned_world
from benchmarks.skill import counts_of_fires
from benchmarks.turned import VIEWS, Asked, features_for, fires_of_test, measure_turned, open_world, table
from benchmarks.turned_world import turned_angle, turned_weather, write_world
from emberformer.calibration import NOT_CALIBRATED
from emberformer.checkpoint import build_model, open_landscape, save_model
from emberformer.data.fires import Band, Fire, FireSource, Frame, Ground, Window, fire_transform, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.split import read_split
from emberformer.dataset import list_steps
from emberformer.errors import InputError
from emberformer.evaluate.scores import average_precision_of_counts
from emberformer.layout import Layout
from emberformer.model.travel_time import TravelTime
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.settings import FeatureSettings
from emberformer.views import turned_vector
from tests.stores import MODEL, prepare, save_settings, tiny_experiment

INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    # Rasters of whole patches, so that no view pads other sides than the world as it is; one network with tokens.
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("turned"), {"tiny": (28, 42)}, model={**MODEL, "network": "unet", "channels": 8},
        variants={"dino": {"model": {**MODEL, "network": "emberformer"}}},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


@pytest.mark.parametrize("view", range(8))
def test_angles_turn_as_vectors_do(view):
    degrees = np.array([0.0, 1e-10, 30.0, 90.0, 200.0, 359.9999, np.nan], np.float32)
    found = turned_angle(degrees, view)
    assert ((found[:-1] >= 0) & (found[:-1] < 360)).all()
    assert np.isnan(found[-1])
    assert found.dtype == np.float32
    before, after = (np.deg2rad(values[:-1].astype(float)) for values in (degrees, found))
    assert np.allclose(turned_vector(np.sin(before), np.cos(before), view), [np.sin(after), np.cos(after)], atol=1e-6)


def test_a_wind_from_the_west_blows_from_the_south_where_the_world_turns_left():
    weather = np.array([[5.0, 0.0, 18.0, 270.0, 21.0]], np.float32)  # u, v, km/h, degrees that it comes from, warmth
    turned_left = turned_weather(
        weather, ["m s-1", "m s-1", "km h-1", "deg", ""], VIEWS.index("turned by 90 degrees, left")
    )
    assert np.allclose(turned_left, [[0.0, 5.0, 18.0, 180.0, 21.0]], atol=1e-5)


def downhill_fire() -> FireSource:
    """A fire that runs 2 pixels east and 1 north, with the wind, down a plane slope."""
    y, x = np.mgrid[:7, :9]
    frames = [np.zeros((7, 9), np.uint8) for _ in range(2)]
    frames[0][3, 4] = frames[1][3, 4] = frames[1][2, 6] = 1
    aspect = float(np.rad2deg(np.arctan2(2, 1)))
    terrain = np.stack([y - 2.0 * x, np.full((7, 9), aspect)]).astype(np.float32)
    weather = np.tile(np.array([4.0, 2.0, 180 + aspect], np.float32), (2, 1))
    times = np.array(["2020-01-01", "2020-01-02"], "datetime64[s]")
    return FireSource(
        "downhill", (Fire("one", Window(5, 3, 7, 9), weather, times),), [Frame(values, None) for values in frames],
        (Band("elevation", "continuous", "m"), Band("aspect_deg", "angle", "deg")),
        (Ground("", (30.0, 0.0, 1000.0, 0.0, -30.0, 5000.0), lambda _: terrain),),
        {"wind_u": "m s-1", "wind_v": "m s-1", "WD": "deg"}, 30.0, 1800.0,
    )  # fmt: skip


@pytest.mark.parametrize("view", range(8))
def test_the_fire_runs_downhill_with_the_wind_in_every_view(view, tmp_path):
    write_fires(tmp_path / "fires.zarr", downhill_fire())
    world = write_world(tmp_path / "world.zarr", open_fires(tmp_path / "fires.zarr"), [0], view)
    start = np.argwhere(world.burned[0].values == 1)[0]
    (reached,) = (place for place in np.argwhere(world.burned[1].values == 1) if (place != start).any())
    run = np.array([reached[1] - start[1], start[0] - reached[0]])  # east, north
    elevation, aspect = world.terrain[0].values
    rise = np.array([elevation[3, 4] - elevation[3, 3], elevation[3, 3] - elevation[4, 3]])
    u, v, origin = world.weather[0].values
    angle, comes_from = np.deg2rad(aspect[0, 0]), np.deg2rad(origin)
    downhill = [-rise, [u, v], [np.sin(angle), np.cos(angle)], [-np.sin(comes_from), -np.cos(comes_from)]]
    for one in downhill:
        assert np.allclose(np.array(one) / np.linalg.norm(one), run / np.linalg.norm(run), atol=1e-5)
    named = {0: (2, 1), 1: (-2, 1), 2: (2, -1), 3: (-2, -1), 4: (-1, -2), 5: (-1, 2), 6: (1, -2), 7: (1, 2)}  # VIEWS
    assert tuple(run) == named[view]


def test_the_world_as_it_is_is_the_stores_test_fires(data, tmp_path):
    _, layout = data
    fires, chosen = open_fires(layout.fires("tiny")), fires_of_test(layout, "tiny", None)
    world = write_world(tmp_path / "world.zarr", fires, chosen, 0)
    frames = np.isin(fires.fire_index.values, chosen)
    assert world.fire_digest.values.tolist() == fires.fire_digest.values[chosen].tolist()
    assert world.frame_digest.values.tolist() == fires.frame_digest.values[frames].tolist()
    for place, fire in enumerate(chosen):
        own, first = (int(store.terrain_index[n]) for store, n in ((world, place), (fires, fire)))
        assert str(world.terrain_digest[own].values) == str(fires.terrain_digest[first].values)
    for name in ("cell_m", "seconds_per_frame", "target_kind"):
        assert world.attrs[name] == fires.attrs[name]
    assert world["transform"].equals(fires["transform"])
    assert world.crs_wkt.equals(fires.crs_wkt)


def test_other_worlds_are_refused(tmp_path):
    fire = downhill_fire()
    two = replace(fire.fires[0], fire_id="two", window=Window(5, 3, 7, 9, ground=1))
    both = {"fires": (*fire.fires, two), "grounds": fire.grounds * 2, "frames": [*fire.frames, *fire.frames]}
    for number, (changes, found) in enumerate([({"fire_kind": "active"}, "go out"), (both, "several grounds")]):
        write_fires(tmp_path / f"{number}.zarr", replace(fire, **changes))
        fires = open_fires(tmp_path / f"{number}.zarr")
        with pytest.raises(InputError, match=found):
            write_world(tmp_path / "world.zarr", fires, range(fires.sizes["fire"]), 1)


@pytest.mark.parametrize("view", [3, 5, 7])
def test_a_view_and_its_inverse_give_the_world_back(data, view, tmp_path):
    _, layout = data
    fires, chosen = open_fires(layout.fires("tiny")), fires_of_test(layout, "tiny", None)
    there = write_world(tmp_path / "there.zarr", fires, chosen, view)
    assert (there.sizes["y"], there.sizes["x"]) == ((42, 28) if view & 4 else (28, 42))
    back = write_world(tmp_path / "back.zarr", there, range(len(chosen)), INVERSE[view])
    frames = np.isin(fires.fire_index.values, chosen)
    assert (back.burned.values == fires.burned.values[frames]).all()
    assert not np.array_equal(there.burned.values.ravel(), back.burned.values.ravel())
    assert np.allclose(back.weather.values, fires.weather.values[frames], atol=1e-4, equal_nan=True)
    expected = fires.terrain.values[fires.terrain_index.values[chosen]]
    assert np.allclose(back.terrain.values[back.terrain_index.values], expected, atol=1e-4, equal_nan=True)
    for fire in chosen:
        name = str(fires.fire_id.values[fire])
        assert fire_transform(back, name).almost_equals(fire_transform(fires, name), 1e-6)


class Runner(SpreadNetwork):
    """Travel time over scalars, and the wind along the aspect: no direction of its own."""

    inputs = ("fire_pixels", "terrain_pixels", "wind", "resolution")

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(0)
        self.vector = [n for n, name in enumerate(channels) if name.endswith((".east", ".north"))]
        self.scalars = [n for n in range(len(channels)) if n not in self.vector]
        self.travel_time = TravelTime(len(self.scalars) + 1)
        with torch.no_grad():
            self.travel_time.factors.weight.mul_(2)

    def forward(self, *, fire_pixels, terrain_pixels, wind, resolution):
        newest = wind[:, -1]
        along = (terrain_pixels[:, self.vector] * newest[:, :, None, None]).sum(1, keepdim=True)
        features = torch.cat([terrain_pixels[:, self.scalars], 5 * along], 1)
        return self.travel_time(features, newest, fire_pixels[:, 0] > 0.5, resolution)

    def parts(self):
        return {"decoder": [self.travel_time]}


def score_in(data, folder, view) -> float:
    """New-fire AP of a `Runner` in a view."""
    settings, layout = data
    sizes = Sizes.of(layout, read_split(layout.split))
    original, chosen = open_landscape(layout, "tiny", sizes), fires_of_test(layout, "tiny", None)
    world = open_world(folder, original, chosen, view, settings.features, sizes, "cpu")
    names = dict.fromkeys(map(str, world.fires.fire_id.values), "test")
    steps = list_steps([world], {"tiny": names}, "test")
    counts = counts_of_fires(Runner(sizes.normaliser.channels), world, steps, settings.model, "")
    return float(average_precision_of_counts(counts.sum(0)))


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return score_in(data, tmp_path_factory.mktemp("plain"), 0)


@pytest.mark.parametrize("view", [1, 2, 4])  # they make up all others
def test_a_network_without_a_direction_of_its_own_scores_the_same_in_a_turned_world(data, plain, view, tmp_path):
    assert 0.1 < plain < 0.99
    assert score_in(data, tmp_path, view) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("part", ["turned_weather", "turned_angle"])
def test_it_does_not_where_wind_or_aspect_stay(data, plain, part, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks.turned_world, part, lambda values, *_: values)
    assert abs(score_in(data, tmp_path, 3) - plain) > 2e-3


def untrained(layout: Layout, sizes: Sizes, seed: int) -> SpreadNetwork:
    """Put a network into the folder of a trained one."""
    torch.manual_seed(seed)
    model, folder = build_model(sizes, layout.settings), layout.model(seed)
    folder.mkdir(parents=True)
    state = {f"model.{name}": values for name, values in model.state_dict().items()}
    torch.save({"state_dict": state | {"calibration": torch.tensor(NOT_CALIBRATED)}}, folder / "best.ckpt")
    save_model(folder, str(folder / "best.ckpt"), sizes, layout.settings, layout, seed, 0.5)
    return model.eval()


@pytest.mark.parametrize("variant", [None, "dino"])
def test_the_command_measures_trained_networks(data, variant, tmp_path):
    settings, layout = data
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"seeds": (0, 1)})})
    config = save_settings(settings, tmp_path / "config.yaml")
    layout = Layout(settings).variant(variant)
    sizes = Sizes.of(layout, read_split(layout.split))
    models = [untrained(layout, sizes, seed) for seed in (0, 1)]
    rows = measure_turned(config, Asked("tiny", views=(5,), steps=2, device="cpu"), variant)
    assert [row.view for row in rows] == [VIEWS[0], VIEWS[5]]
    original = open_landscape(layout, "tiny", sizes)
    steps = list_steps([original], read_split(layout.split), "test", 2)
    counts = [counts_of_fires(model, original, steps, layout.settings.model, "").sum(0) for model in models]
    expected = [average_precision_of_counts(one) for one in counts]
    assert rows[0].score == pytest.approx(np.mean(expected), abs=1e-6)
    assert rows[0].deviation == pytest.approx(abs(expected[0] - expected[1]) / 2**0.5, abs=1e-6)
    assert (rows[0].low, rows[0].high) == (0, 0)
    assert rows[1].score != rows[0].score  # untrained weights do have directions
    lines = table(rows)
    assert len(lines) == 3
    assert lines[2].startswith(VIEWS[5])


def test_features_are_only_of_the_backbone_where_a_network_takes_them(data):
    _, layout = data
    sizes, asked = Sizes.of(layout, read_split(layout.split)), FeatureSettings(scale=0.5, window=28)
    unet, dino = (build_model(sizes, layout.variant(variant).settings) for variant in (None, "dino"))
    assert features_for([unet, dino], asked, 28) == asked
    cheap = features_for([unet], asked, 28)
    assert (cheap.weights, cheap.architecture, cheap.scale, cheap.window) == ("random", "dinov2-tiny", 0.5, 28)


def test_a_phase_that_the_configuration_has_not_is_refused(data, tmp_path):
    config = save_settings(data[0], tmp_path / "config.yaml")
    with pytest.raises(InputError, match="phase2"):
        measure_turned(config, Asked("tiny", "phase2"))
