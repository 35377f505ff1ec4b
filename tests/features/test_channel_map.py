"""Maps of terrain channels to images: by hand, in the key, exact in the backbone, fitted on training fires alone."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.small_store import CACHED_INPUTS
from emberformer.checkpoint import open_landscapes
from emberformer.cli import app
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.features.architectures import untrained
from emberformer.features.backbone import load_backbone
from emberformer.features.channel_fit import fit_channels, principal_map
from emberformer.features.channel_map import (
    ChannelMap,
    Projection,
    channel_map,
    learned_projection,
    read_projection,
    require_of_training,
    triplets,
    write_projection,
)
from emberformer.features.rendering import dino_input, render_terrain
from emberformer.features.store import open_features
from emberformer.features.verify import verify
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.settings import FeatureSettings
from tests.features.small_backbones import TINY, normalised
from tests.stores import prepare, save_settings, tiny_experiment

BANDS = ["elevation", "aspect_deg.sin", "aspect_deg.cos", "slope_deg", "fuel_model"]


def test_a_triplet_shows_each_channel_in_a_colour_of_its_own_and_three_bands_are_one_image():
    grey = np.random.default_rng(0).random((5, 4, 6)).astype(np.float32)
    images = triplets(BANDS).apply(grey)
    assert np.array_equal(images[0], grey[[0, 3, 4]])
    assert np.array_equal(images[1], [grey[1], grey[2], np.zeros((4, 6))])
    assert np.array_equal(triplets(BANDS[:1] + BANDS[3:]).apply(grey[:3]), grey[None, :3])
    assert ChannelMap(tuple(BANDS)).apply(grey) is grey


def test_a_projection_is_a_convolution_of_one_pixel(tmp_path):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(5, 3, 1)
    write_projection(tmp_path / "map.json", learned_projection(layer, BANDS, "a test"))
    settings = FeatureSettings(channel_map="learned", channel_file=tmp_path / "map.json")
    fewer = [1, 2, 4]  # a data set may lack channels
    grey = torch.rand(5, 4, 6)
    of_all, of_fewer = channel_map(settings, BANDS), channel_map(settings, [BANDS[n] for n in fewer])
    assert of_all.images == of_fewer.images == ("+".join(BANDS),)
    with torch.no_grad():
        assert np.allclose(of_all.apply(grey.numpy())[0], layer(grey[None])[0], atol=1e-6)
        known = torch.zeros(5, 4, 6).index_copy(0, torch.tensor(fewer), grey[fewer])
        assert np.allclose(of_fewer.apply(grey[fewer].numpy())[0], layer(known[None])[0], atol=1e-6)
    with pytest.raises(InputError, match="nothing about canopy"):
        channel_map(settings, [*BANDS, "canopy"])
    with pytest.raises(InputError, match="kind learned"):
        read_projection(tmp_path / "map.json", "pca3")
    (tmp_path / "map.json").write_text("[]")
    with pytest.raises(InputError, match="projection"):
        channel_map(settings, BANDS)


def test_the_content_of_the_file_is_in_the_key_and_its_place_is_not(tmp_path):
    def key(folder, weight):
        file = tmp_path / folder / "map.json"
        write_projection(file, Projection("pca3", ("a",), ((weight,), (0.0,), (0.0,)), (0.0, 0.0, 0.0), "by hand"))
        return features_key(TINY.model_copy(update={"channel_map": "pca3", "channel_file": file}))

    assert key("one", 1.0) == key("other", 1.0) != key("one", 2.0)
    assert features_key(TINY) != features_key(TINY.model_copy(update={"channel_map": "triplets"}))
    with pytest.raises(InputError, match="fit-channels"):
        features_key(TINY.model_copy(update={"channel_map": "pca3", "channel_file": tmp_path / "none.json"}))
    for wrong in ({"channel_map": "pca3"}, {"channel_file": tmp_path / "one" / "map.json"}):
        with pytest.raises(ValueError, match="channel_file belongs"):
            FeatureSettings.model_validate(wrong)


def test_principal_components_by_hand():
    """Two channels that rise together and one that flickers by itself, a tenth as much."""
    rng = np.random.default_rng(1)
    along, flicker = rng.normal(size=(2, 40, 50))
    window = np.stack([0.5 + along, 0.2 + along, 0.1 * flicker, along * 9]).astype(np.float32)
    weight, bias = principal_map(["a", "b", "c", "turned.sin"], [window[:, :20], window[:, 20:]])
    assert np.allclose(weight[0, :2] / weight[0, 0], 1, atol=1e-3)
    assert (weight[:, 3] == 0).all()  # an angle cannot be turned in a mixed image
    images = np.tensordot(weight, window, 1) + bias[:, None, None]
    assert np.allclose(images.mean((1, 2)), 0.5, atol=1e-5)
    assert np.allclose(images[:2].std((1, 2)), 1 / 6, atol=1e-4)
    assert abs(np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1]) < 1e-4
    assert np.ptp(images[2]) < 1e-4  # nothing is left for a third one


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_colour_images_give_the_tokens_of_three_normalised_channels_and_grey_ones_those_of_a_grey_backbone(scale):
    settings = TINY.model_copy(update={"channel_map": "triplets"})
    colour, grey = load_backbone(settings), load_backbone(TINY)
    images = dino_input(torch.rand(2, 3, 40, 61), 14, scale)
    with torch.inference_mode():
        expected = untrained("dinov2-tiny", 0).eval()(normalised(images)).last_hidden_state
        assert (colour.encode(images).patches.flatten(1, 2) - expected[:, 1:]).abs().max() < 5e-5
        one = images[:, :1]
        assert (colour.encode(one).patches - grey.encode(one).patches).abs().max() < 5e-5
    assert colour.weights_sha256 == grey.weights_sha256


def experiment_with(folder, kind):
    """An experiment whose feature store has this map, with the file that it needs."""
    features = {**TINY.model_dump(mode="json"), "channel_map": kind}
    if kind == "learned":
        torch.manual_seed(0)
        bands = ["fuel_model", "elevation", "slope_deg", "aspect_deg.sin", "aspect_deg.cos", "burnable"]
        write_projection(folder / "map.json", learned_projection(torch.nn.Conv2d(6, 3, 1), bands, "a test"))
        features["channel_file"] = str(folder / "map.json")
    settings, layout = tiny_experiment(folder, features=features)
    prepare(settings, layout)
    return settings


@pytest.mark.parametrize(("kind", "images"), [("triplets", 2), ("learned", 1)])
def test_the_store_holds_the_tokens_of_mapped_images_and_training_reads_them(tmp_path, kind, images):
    turning = experiment_with(tmp_path, kind)
    settings = turning.model_copy(update={"training": turning.training.model_copy(update={"flip": False})})
    layout = Layout(settings)
    ds, fires = open_features(layout.features("tiny")), open_fires(layout.fires("tiny"))
    assert (ds.sizes["band"], ds.sizes["channel"]) == (images, 7)
    assert verify(layout.features("tiny")) == []
    split = read_split(layout.split)
    (landscape,) = open_landscapes(layout, Sizes.of(layout, split))
    shown = landscape.terrain_images(2)
    grey = render_terrain(fires.terrain[int(fires.terrain_index[2])].values, list(map(str, fires.band_kind.values)))
    assert np.array_equal(shown, channel_map(settings.features, list(ds.channel.values[1:])).apply(grey))
    tokens = load_backbone(settings.features).encode(dino_input(torch.from_numpy(shown), 14, 1.0))
    assert np.allclose(ds.terrain_patches[int(ds.terrain_index[2])], tokens.patches.numpy(), atol=4e-3)
    item = FireSteps([landscape], list_steps([landscape], split, "train")[:1], 2, inputs=CACHED_INPUTS)[0]
    assert (item["terrain_patches"].abs().sum((1, 2, 3)) > 0).tolist() == [True] * images
    if kind == "triplets":
        assert Sizes.of(Layout(turning), split).channels == tuple(map(str, ds.band.values[:1]))
    else:  # one image of all channels, and a share of it is of an angle
        with pytest.raises(InputError, match="all images of the terrain are of angles"):
            Sizes.of(Layout(turning), split)


def test_pca3_is_fitted_on_training_fires_by_its_verb_and_extracted(tmp_path):
    settings, layout = tiny_experiment(tmp_path, split={"train": 0.5, "validation": 0.2, "test": 0.3})
    prepare(settings, layout)
    file = tmp_path / "pca3.json"
    told = CliRunner().invoke(
        app,
        ["features", "fit-channels", "--config", str(save_settings(settings, tmp_path / "c.yaml")), "--out", str(file)],
    )
    assert told.exit_code == 0, told.output
    fires, split = open_fires(layout.fires("tiny")).load(), read_split(layout.split)
    assert read_projection(file, "pca3") == fit_channels({"tiny": fires}, split)
    train = [split["tiny"][str(fire)] == "train" for fire in fires.fire_id.values]
    others = sorted(set(fires.terrain_index.values.tolist()) - set(fires.terrain_index.values[train].tolist()))
    assert others
    fires.terrain[others] = 7.0
    assert read_projection(file, "pca3") == fit_channels({"tiny": fires}, split)
    features = {**TINY.model_dump(mode="json"), "channel_map": "pca3", "channel_file": str(file)}
    mapped = FeatureSettings.model_validate(features)
    require_of_training(mapped, split)
    image = channel_map(mapped, ["elevation", "aspect_deg.sin", "aspect_deg.cos", "burnable"]).images
    assert image == ("fuel_model+elevation+slope_deg+burnable",)


def test_a_map_of_fires_that_are_no_training_fires_now_is_refused(tmp_path):
    file = tmp_path / "map.json"
    write_projection(
        file, Projection("pca3", ("a",), ((1.0,), (0.0,), (0.0,)), (0.0, 0.0, 0.0), "two fires", {"land": ["1", "2"]})
    )
    features = TINY.model_copy(update={"channel_map": "pca3", "channel_file": file})
    require_of_training(features, {"land": {"1": "train", "2": "train", "3": "test"}})
    with pytest.raises(InputError, match=r"(?s)1 fires of validation or test, such as 2 of land.*fit-channels"):
        require_of_training(features, {"land": {"1": "train", "2": "test", "3": "train"}})
    untold = {key: value for key, value in json.loads(file.read_text()).items() if key != "fires"}
    file.write_text(json.dumps(untold))
    with pytest.raises(InputError, match="fires"):
        require_of_training(features, {})
