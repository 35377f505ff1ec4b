"""The feature store: opens in xarray, holds what the backbone gives, changes only where a fire did, finds damage."""

import hashlib
import json

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.begun import IDENTITY
from emberformer.features.encoding import Encoding
from emberformer.features.extraction import extract
from emberformer.features.plan import make_plan, plan_folder
from emberformer.features.rendering import dino_input, render_frame, render_terrain
from emberformer.features.sealed import write_sealed
from emberformer.features.shape import block_path
from emberformer.features.store import open_features, write_index
from emberformer.features.verify import describe, verify
from tests.stores import extract_all, ingest_all, make_stores, tiny_experiment


@pytest.fixture
def experiment(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    make_stores(settings, layout)
    return settings, layout


def contents(store):
    """Hash of every file that readers see."""
    files = [p for p in sorted(store.rglob("*")) if p.is_file() and ".plan" not in p.parts]
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def encoded(store):
    manifests = [json.loads(p.read_text()) for p in plan_folder(store).glob("shard-*.json")]
    return sum(m["encoded_frame"] for m in manifests), sum(m["encoded_terrain"] for m in manifests)


def rewrite_frame(settings, fire, frame):
    """Burn one more pixel of a frame in the raw data."""
    path = settings.datasets["tiny"].root / "fire_frames" / fire / f"fire_{frame:03d}.png"
    image = np.asarray(Image.open(path)).copy()
    image[0, 0] = (253, 231, 36, 255)
    Image.fromarray(image).save(path)
    other = settings.datasets["tiny"].root / "isochrones" / fire / f"iso_{frame:03d}.png"
    Image.fromarray(image).save(other)


def test_one_xarray_call_opens_it_and_the_numbers_are_the_backbones(experiment):
    settings, layout = experiment
    store, fires = layout.features("tiny"), open_fires(layout.fires("tiny"))
    ds = xr.open_zarr(store)
    assert set(ds.frame_patches.dims) == {"frame", "patch_y", "patch_x", "feature"}
    backbone = load_backbone(settings.features)
    row = int(fires.row_start.values[2]) + 1
    burned = fires.burned[[row]].values
    tokens = backbone.encode(dino_input(torch.from_numpy(render_frame(burned)), 14, 1.0))
    stored = ds.isel(frame=int(ds.frame_of.values[row]))
    assert np.allclose(stored.frame_patches, tokens.patches[0].numpy(), atol=4e-3)
    assert np.allclose(stored.frame_cls, tokens.cls[0].numpy(), atol=4e-3)
    index = int(fires.terrain_index.values[2])
    images = render_terrain(fires.terrain[index].values, list(map(str, fires.band_kind.values)))
    tokens = backbone.encode(dino_input(torch.from_numpy(images), 14, 1.0))
    assert np.allclose(ds.terrain_patches[int(ds.terrain_index.values[2])], tokens.patches.numpy(), atol=4e-3)
    assert ds.patch_y.values[0] == 6.5
    assert ds.frame_valid.values[0, 0] == 1


def test_a_second_extraction_encodes_nothing(experiment):
    settings, layout = experiment
    before = contents(layout.features("tiny"))
    extract_all(settings, layout)
    assert encoded(layout.features("tiny")) == (0, 0)
    assert contents(layout.features("tiny")) == before


@pytest.mark.parametrize("shards", [1, 3, 5])
def test_another_number_of_jobs_encodes_nothing(experiment, shards):
    settings, layout = experiment
    before = contents(layout.features("tiny"))
    for path in plan_folder(layout.features("tiny")).glob("shard-*.json"):
        path.unlink()
    extract_all(settings, layout, shards=shards)
    assert encoded(layout.features("tiny")) == (0, 0)
    assert contents(layout.features("tiny")) == before


def by_content(ds):
    """Patches of every frame by the content of its image."""
    return {str(d): ds.frame_patches[n].values for n, d in enumerate(ds.frame_digest.values) if str(d)}


def test_an_edited_frame_is_the_only_one_encoded_and_keeps_the_others_where_they_are(experiment):
    settings, layout = experiment
    store = layout.features("tiny")
    before = xr.open_zarr(store).load()
    rewrite_frame(settings, "sequence_002", 4)
    ingest_all(settings, layout)
    extract_all(settings, layout)
    assert encoded(store) == (1, 0)
    after = xr.open_zarr(store).load()
    changed = np.flatnonzero(after.frame_of.values != before.frame_of.values)
    assert changed.tolist() == [int(after.row_start.values[1]) + 4]
    old, new = by_content(before), by_content(after)
    assert all(np.array_equal(values, new[content]) for content, values in old.items())
    assert len(new) == len(old) + 1


def test_equal_frames_and_windows_pass_the_backbone_once(experiment):
    settings, layout = experiment
    raw = settings.datasets["tiny"].root
    for kind, name in (("fire_frames", "fire"), ("isochrones", "iso")):  # fire 3 stands still for a step
        data = (raw / kind / "sequence_003" / f"{name}_003.png").read_bytes()
        (raw / kind / "sequence_003" / f"{name}_004.png").write_bytes(data)
    windows = json.loads((raw / "landscape" / "indices.json").read_text())
    windows["4"] = windows["1"]
    (raw / "landscape" / "indices.json").write_text(json.dumps(windows))
    ingest_all(settings, layout)
    again = layout.root / "again" / layout.features("tiny").name
    fires = open_fires(layout.fires("tiny"))
    plan = make_plan(fires, again)
    extract(again, fires, settings.features, 0, 1, 28, "cpu")
    unique = len(set(map(str, fires.frame_digest.values)))
    assert unique <= 29
    assert encoded(again) == (unique, 5)
    assert plan.frame.rows == unique
    write_index(again, fires)
    ds = open_features(again)
    start = int(ds.row_start.values[2])
    assert ds.frame_of.values[start + 3] == ds.frame_of.values[start + 4]
    assert ds.terrain_index.values[3] == ds.terrain_index.values[0]


def test_a_removed_fire_costs_nothing_and_nothing_when_it_comes_back(experiment):
    settings, layout = experiment
    store = layout.features("tiny")
    fires = open_fires(layout.fires("tiny"))
    whole = contents(store)
    keep = fires.isel(fire=slice(0, 3), frame=slice(0, 15))
    for these, number in ((keep, 3), (fires, 6)):
        make_plan(these, store)
        for shard in range(2):
            extract(store, these, settings.features, shard, 2, 28, "cpu")
        write_index(store, these)
        assert encoded(store) == (0, 0)
        assert open_features(store).sizes["fire"] == number
    assert contents(store) == whole


def test_nothing_to_encode_loads_no_backbone(experiment, monkeypatch):
    settings, layout = experiment

    def refuse(*arguments):
        raise AssertionError("the backbone was loaded")

    monkeypatch.setattr("emberformer.features.begun.load_backbone", refuse)
    extract_all(settings, layout)
    assert encoded(layout.features("tiny")) == (0, 0)


def test_other_weights_are_refused_before_anything_is_written(experiment):
    settings, layout = experiment
    store, fires = layout.features("tiny"), open_fires(layout.fires("tiny"))
    for path in store.glob("frame_patches/c/1/0/0/0"):
        path.unlink()
    other = settings.features.model_copy(update={"seed": 1})
    with pytest.raises(InputError, match="weights_sha256"):
        extract(store, fires, other, 1, 2, 28, "cpu")
    assert not block_path(store, "frame_patches", 1).exists()


def test_how_the_rendering_is_worded_stops_no_job(experiment):
    settings, layout = experiment
    store, fires = layout.features("tiny"), open_fires(layout.fires("tiny"))
    begun = json.loads((plan_folder(store) / IDENTITY).read_bytes())
    begun["identity"]["rendering"] = "as it is told elsewhere"
    write_sealed(plan_folder(store) / IDENTITY, {key: begun[key] for key in ("identity", "encoding_sha256")})
    block_path(store, "frame_patches", 0).unlink()
    for shard in range(2):
        extract(store, fires, settings.features, shard, 2, 28, "cpu")
    write_index(store, fires)
    assert verify(store) == []


def test_other_bands_begin_the_store_anew(experiment):
    settings, layout = experiment
    bands = dict(list(settings.datasets["tiny"].bands.items())[:-1])
    fewer = settings.model_copy(
        update={"datasets": {"tiny": settings.datasets["tiny"].model_copy(update={"bands": bands})}}
    )
    ingest_all(fewer, layout)
    extract_all(fewer, layout)
    assert open_features(layout.features("tiny")).sizes["band"] == 5
    assert verify(layout.features("tiny")) == []


def test_a_window_follows_where_the_fire_began_and_nothing_later(tmp_path):
    settings, layout = tiny_experiment(
        tmp_path, features={"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "window": 28}
    )
    ingest_all(settings, layout)
    extract_all(settings, layout)
    fires, ds = open_fires(layout.fires("tiny")), open_features(layout.features("tiny"))
    assert (ds.sizes["patch_y"], ds.sizes["patch_x"]) == (2, 2)
    backbone = load_backbone(settings.features)
    for fire in range(6):
        first = int(fires.row_start.values[fire])
        y, x = int(ds.window_y.values[fire]), int(ds.window_x.values[fire])
        begun = np.argwhere(fires.burned[first].values == 1).mean(0)
        assert y == 0
        assert x == np.clip(round(begun[1]) - 14, 0, 14)
        image = render_frame(fires.burned[first + 4 : first + 5].values)[:, y : y + 28, x : x + 28]
        tokens = backbone.encode(dino_input(torch.from_numpy(image), 14, 1.0))
        stored = ds.frame_patches[int(ds.frame_of.values[first + 4])]
        assert np.allclose(stored, tokens.patches[0].numpy(), atol=4e-3)


def test_hidden_layers_stand_beside_the_last(tmp_path):
    settings, layout = tiny_experiment(
        tmp_path,
        features={"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": [2, 4]},
    )
    ingest_all(settings, layout)
    extract_all(settings, layout)
    ds = open_features(layout.features("tiny"))
    assert ds.frame_layers.dims == ("frame", "layer", "patch_y", "patch_x", "feature")
    assert ds.layer.values.tolist() == [2, 4]
    norm = load_backbone(settings.features).model.get_submodule("layernorm")
    last = torch.from_numpy(ds.frame_layers[3, 1].values).float()
    assert np.allclose(norm(last).numpy(), ds.frame_patches[3].values, atol=2e-2)
    cls = torch.from_numpy(ds.frame_prefix[3, 1, 0].values).float()
    assert np.allclose(norm(cls).numpy(), ds.frame_cls[3].values, atol=2e-2)


def test_an_interrupted_extraction_goes_on_to_the_same_bytes(experiment, tmp_path, monkeypatch):
    settings, layout = experiment
    whole = contents(layout.features("tiny"))
    again = layout.root / "again" / layout.features("tiny").name
    fires = open_fires(layout.fires("tiny"))
    make_plan(fires, again)
    calls = []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render_frame(*arguments)

    monkeypatch.setattr("emberformer.features.images.render_frame", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(again, fires, settings.features, 0, 1, 28, "cpu")
    assert not (again / "zarr.json").exists()
    with pytest.raises(InputError, match="extract_features"):
        open_features(again)
    extract(again, fires, settings.features, 0, 1, 28, "cpu")
    assert encoded(again)[0] == fires.sizes["frame"] - 8  # two batches of four were kept
    write_index(again, fires)
    resumed = contents(again)
    assert {k: v for k, v in resumed.items() if k != "zarr.json"} == {
        k: v for k, v in whole.items() if k != "zarr.json"
    }


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_named_and_rebuilt(experiment, damage):
    settings, layout = experiment
    store = layout.features("tiny")
    whole = contents(store)
    assert verify(store) == []
    path = block_path(store, "frame_patches", 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:1000])
    found = verify(store)
    assert [d.file for d in found] == ["frame_patches/c/0/0/0/0"]
    assert found[0].names
    if damage == "flip":
        assert len(found[0].names) == 1
    verify(store, fix=True)
    with pytest.raises(InputError):
        open_features(store)
    extract_all(settings, layout)
    assert encoded(store)[0] == 16
    assert contents(store) == whole


def test_a_renamed_store_is_refused(experiment):
    _, layout = experiment
    store = layout.features("tiny")
    store.rename(store.with_name("dinov2-small-00000000.zarr"))
    with pytest.raises(InputError, match="do not rename"):
        open_features(store.with_name("dinov2-small-00000000.zarr"))


def test_info_says_that_weights_are_random(experiment):
    _, layout = experiment
    facts = describe(layout.features("tiny"))
    assert facts["frames"] == "30, 30 different, in 30 rows"
    assert "untrained" in facts["warning"]


@pytest.mark.parametrize("value", [1e5, float("nan")])
def test_no_infinity_and_no_nan_enters_the_store(experiment, monkeypatch, value):
    settings, layout = experiment
    store, fires = layout.root / "big" / layout.features("tiny").name, open_fires(layout.fires("tiny"))
    make_plan(fires, store)
    monkeypatch.setattr(Encoding, "project", lambda self, patches, axis: torch.full_like(patches, value))
    with pytest.raises(InputError, match="float32"):
        extract(store, fires, settings.features, 0, 1, 28, "cpu")
    assert not block_path(store, "frame_patches", 0).exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_processors_features(experiment):
    settings, layout = experiment
    fires = open_fires(layout.fires("tiny"))
    store = layout.root / "gpu" / layout.features("tiny").name
    make_plan(fires, store)
    extract(store, fires, settings.features, 0, 1, 28, "cuda")
    write_index(store, fires)
    gpu, cpu = open_features(store), open_features(layout.features("tiny"))
    assert np.allclose(gpu.frame_patches, cpu.frame_patches, atol=1e-2)
