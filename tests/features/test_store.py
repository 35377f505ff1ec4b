"""The feature store: opens in xarray, holds what the backbone gives, changes only where a fire did, finds damage."""

import hashlib
import json

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from PIL import Image

from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.extraction import extract
from emberformer.features.plan import make_plan, plan_folder
from emberformer.features.rendering import dino_input, render_frame, render_terrain
from emberformer.features.store import FeatureRows, block_path, open_features, write_index
from emberformer.features.verify import describe, verify
from tests.stores import extract_all, ingest_all, tiny_experiment


@pytest.fixture
def experiment(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    ingest_all(settings, layout)
    extract_all(settings, layout)
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
    cls, patches = backbone.encode(dino_input(torch.from_numpy(render_frame(burned)), 14, 1.0))
    stored = ds.isel(frame=int(ds.row_start.values[2]) + 1)
    assert np.allclose(stored.frame_patches, patches[0].numpy(), atol=4e-3)
    assert np.allclose(stored.frame_cls, cls[0].numpy(), atol=4e-3)
    images = render_terrain(fires.terrain[0].values, list(map(str, fires.band_kind.values)))
    _, patches = backbone.encode(dino_input(torch.from_numpy(images), 14, 1.0))
    place = list(map(str, ds.terrain_digest.values)).index(str(fires.terrain_digest.values[0]))
    assert np.allclose(ds.terrain_patches[place], patches.numpy(), atol=4e-3)
    assert ds.patch_y.values[0] == 6.5
    assert ds.frame_valid.values[0, 0] == 1


def test_direct_rows_equal_zarr_python(experiment):
    _, layout = experiment
    store = layout.features("tiny")
    for array in ("frame_patches", "terrain_patches", "frame_cls", "terrain_cls"):
        direct, whole = FeatureRows(store, array), np.asarray(zarr.open_array(store, path=array))
        for row in range(direct.shape[0]):
            assert np.array_equal(direct[row], whole[row], equal_nan=True)


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


def test_an_edited_frame_extracts_its_fire_alone(experiment):
    settings, layout = experiment
    store = layout.features("tiny")
    before = xr.open_zarr(store).load()
    rewrite_frame(settings, "sequence_002", 4)
    ingest_all(settings, layout)
    extract_all(settings, layout)
    assert encoded(store) == (5, 0)
    after = xr.open_zarr(store).load()
    for number, fire in enumerate(before.fire_id.values):
        rows = slice(int(before.row_start[number]), int(before.row_start[number] + before.row_size[number]))
        place = int(after.row_start[number])
        same = np.array_equal(
            before.frame_patches[rows], after.frame_patches[place : place + int(after.row_size[number])]
        )
        assert same == (fire != "sequence_002")


def test_a_removed_fire_is_gone_and_costs_nothing(experiment):
    settings, layout = experiment
    store = layout.features("tiny")
    fires = open_fires(layout.fires("tiny"))
    keep = fires.isel(fire=slice(0, 3))
    make_plan(keep, store)
    for shard in range(2):
        extract(store, keep, settings.features, shard, 2, 4, "cpu")
    write_index(store, keep)
    assert encoded(store) == (0, 0)
    ds = open_features(store)
    assert ds.sizes["fire"] == 3
    assert (ds.fire_index.values == -1).sum() == 15


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

    monkeypatch.setattr("emberformer.features.extraction.render_frame", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(again, fires, settings.features, 0, 1, 4, "cpu")
    assert not (again / "zarr.json").exists()
    with pytest.raises(InputError, match="extract_features"):
        open_features(again)
    extract(again, fires, settings.features, 0, 1, 4, "cpu")
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
    assert [d.array for d in found] == ["frame_patches"]
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
    assert facts["frames"] == "30 in 30 rows"
    assert "untrained" in facts["warning"]


def test_an_overflow_is_no_infinity_in_the_store(experiment, monkeypatch):
    settings, layout = experiment
    store, fires = layout.root / "big" / layout.features("tiny").name, open_fires(layout.fires("tiny"))
    make_plan(fires, store)
    monkeypatch.setattr("emberformer.features.extraction.render_frame", lambda b: render_frame(b) * 0)
    monkeypatch.setattr(
        "emberformer.features.backbone.Backbone.encode",
        lambda self, images, precision: (torch.full((len(images), 96), 1e5), torch.zeros(len(images), 2, 3, 96)),
    )
    with pytest.raises(OverflowError, match="float32"):
        extract(store, fires, settings.features, 0, 1, 4, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_processors_features(experiment):
    settings, layout = experiment
    fires = open_fires(layout.fires("tiny"))
    store = layout.root / "gpu" / layout.features("tiny").name
    make_plan(fires, store)
    extract(store, fires, settings.features, 0, 1, 4, "cuda")
    write_index(store, fires)
    gpu, cpu = open_features(store), open_features(layout.features("tiny"))
    assert np.allclose(gpu.frame_patches, cpu.frame_patches, atol=1e-2)
