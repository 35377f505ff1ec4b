"""Object storage: the same features from an S3 bucket as from a folder, and every fault of it one clear error."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from benchmarks.small_store import CACHED_INPUTS
from emberformer.ahead import ahead
from emberformer.checkpoint import open_landscapes
from emberformer.cli import app
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.features import copying
from emberformer.features.copying import BEGUN, copy_store
from emberformer.features.location import file_system, is_remote, read_files, sizes
from emberformer.features.reading import Cut, FeatureReader
from emberformer.features.rows import Memory, ZarrRows
from emberformer.features.store import open_features
from emberformer.network_sizes import Sizes
from tests.kinds import patches_by_zarr, store_of_kind
from tests.stores import prepare, tiny_experiment

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.moto_server.threaded_moto_server")


@pytest.fixture(scope="module")
def server():
    running = moto_server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(scope="module")
def environment(server):
    """What a user exports; for this module alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server)
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        file_system("s3://features")[0].mkdir("features")
        yield patch


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("experiment"))
    prepare(settings, layout)
    return settings, layout


@pytest.fixture(scope="module")
def store(experiment):
    return experiment[1].features("tiny")


@pytest.fixture(scope="module")
def url(store, environment):
    return copy_store(store, "s3://features/whole")


@pytest.fixture(scope="module")
def spoilt(store, environment):
    return copy_store(store, "s3://features/spoilt")


@pytest.fixture
def damageable(store, spoilt):
    """A copy of which byte `position` of an object may be spoilt; mended after the test."""
    (system, root), names = file_system(spoilt), set()

    def flip(name, position):
        data = bytearray((store / name).read_bytes())
        data[position] ^= 1
        system.pipe_file(f"{root}/{name}", bytes(data))
        names.add(name)
        return spoilt

    yield flip
    for name in names:
        system.pipe_file(f"{root}/{name}", (store / name).read_bytes())


def steps_over(experiment, location, memory: Memory = "disk"):
    settings, layout = experiment
    dataset = settings.datasets["tiny"].model_copy(update={"features": location})
    layout = type(layout)(settings.model_copy(update={"datasets": {"tiny": dataset}}))
    assert location is None or layout.feature_store("tiny") == location
    assert layout.extracts("tiny") == (location is None)
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split), memory)
    return FireSteps(landscapes, list_steps(landscapes, split, "train"), 3, crop=1, flip=True, inputs=CACHED_INPUTS)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


BATCHES = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
WORKERS = {"fork": 2, "spawn": 1}  # a spawned one imports all anew


def test_a_copy_in_a_bucket_is_the_store_object_for_file(store, url):
    names = {str(p.relative_to(store)) for p in store.rglob("*") if p.is_file() and ".plan" not in p.parts}
    assert is_remote(url)
    assert set(sizes(url)) == names
    assert all(data == (store / name).read_bytes() for name, data in read_files(url, names).items())
    remote, local = open_features(url), open_features(store)
    assert all(np.array_equal(remote[name].values, local[name].values) for name in ("frame_of", "fire_id", "frame_cls"))


@pytest.mark.parametrize("memory", ["disk", "ram"])
def test_training_from_a_bucket_sees_the_same_batches(experiment, url, memory):
    here, there = steps_over(experiment, None), steps_over(experiment, url, memory)
    assert memory == "ram" or isinstance(there.landscapes[0].frame_reader.patches, ZarrRows)
    for batch in BATCHES:
        assert same(there.__getitems__(batch), here.__getitems__(batch))


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_every_kind_is_read_from_a_compressed_copy_in_a_bucket(environment, tmp_path, kind):
    local = store_of_kind(tmp_path, kind)
    location = copy_store(local, f"s3://features/{kind}", "zstd")
    features = open_features(location)
    blank = features.blank.values if "blank" in features else None
    for memory in ("disk", "ram"):
        reader = FeatureReader(location, "frame", features.attrs, blank, memory)
        out = torch.empty((4, 2, 4, 96), dtype=reader.dtype)
        reader.read([Cut((17, 18, 3, 4), slice(1, 3), slice(0, 4))], [out])
        assert np.array_equal(out.float().numpy(), patches_by_zarr(local, "frame")[[17, 18, 3, 4], 1:3])


def test_a_store_comes_back_from_a_bucket(store, url, tmp_path):
    back = tmp_path / store.name
    copy_store(url, back)
    assert all((back / name).read_bytes() == (store / name).read_bytes() for name in sizes(url))


def test_a_thread_and_the_main_program_read_at_the_same_time(experiment, url):
    here, there, third = (steps_over(experiment, location) for location in (None, url, url))
    results = ahead([lambda batch=batch: there.__getitems__(batch) for batch in BATCHES])
    for batch, result in zip(BATCHES, results, strict=True):
        assert same(result, here.__getitems__(batch))
        assert same(third.__getitems__(batch), here.__getitems__(batch))


@pytest.mark.slow
@pytest.mark.parametrize("start", WORKERS)
def test_worker_processes_open_their_own_connections(experiment, url, start):
    here, there = steps_over(experiment, None), steps_over(experiment, url)
    there.__getitems__(BATCHES[0])  # connections are open when the workers begin
    loader = DataLoader(
        there, batch_sampler=BATCHES, num_workers=WORKERS[start], collate_fn=whole, multiprocessing_context=start,
        timeout=120,
    )  # fmt: skip
    for batch, result in zip(BATCHES, loader, strict=True):
        assert same(result, here.__getitems__(batch))
    assert same(there.__getitems__(BATCHES[1]), here.__getitems__(BATCHES[1]))


def whole(batch):
    return batch


def test_a_reader_that_was_pickled_reads(experiment, url):
    data = steps_over(experiment, url)
    before = data.__getitems__(BATCHES[0])
    assert same(pickle.loads(pickle.dumps(data)).__getitems__(BATCHES[0]), before)


@pytest.mark.parametrize("position", [3, 1152, 1154, -3, -100])
def test_a_damaged_block_object_is_an_error_and_never_features(damageable, position):
    location = damageable("frame_patches/c/0/0/0/0", position)
    features = open_features(location)
    reader = FeatureReader(location, "frame", features.attrs)
    with pytest.raises(InputError, match="frame_patches, rows 0 to 1"):
        reader.read([Cut((0, 1), slice(0, 2), slice(0, 3))], [torch.empty((2, 2, 3, 96), dtype=torch.float16)])
    with pytest.raises(InputError, match="frame_patches"):
        FeatureReader(location, "frame", features.attrs, memory="ram")


def test_a_missing_block_object_is_an_error_and_never_the_fill_value(store, environment):
    location = copy_store(store, "s3://features/missing")
    system, root = file_system(location)
    system.rm_file(f"{root}/frame_patches/c/1/0/0/0")
    reader = FeatureReader(location, "frame", open_features(location).attrs)
    with pytest.raises(InputError, match="nothing is stored for row 16"):
        reader.read([Cut((15, 16), slice(0, 2), slice(0, 3))], [torch.empty((2, 2, 3, 96), dtype=torch.float16)])


@pytest.mark.parametrize(
    "name", ["zarr.json", "frame_patches/zarr.json", "frame_of/c/0", "terrain_index/zarr.json", ".checksums.json"]
)
@pytest.mark.parametrize("position", [0, 30, -2])
def test_a_damaged_coordinate_or_piece_of_metadata_is_named(damageable, name, position):
    location = damageable(name, position)
    with pytest.raises(InputError, match="damaged: ") as told:
        open_features(location)
    assert name in told.value.found or name == ".checksums.json"
    assert "copy it again" in told.value.remedy


@pytest.mark.parametrize("location", ["s3://nowhere/whole", "s3://features/elsewhere"])
def test_a_wrong_bucket_or_folder_holds_no_store(environment, store, location):
    with pytest.raises(InputError, match="no finished feature store"):
        open_features(f"{location}/{store.name}")


def test_a_bucket_that_is_not_there_takes_no_copy(environment, store):
    with pytest.raises(InputError, match="bucket") as told:
        copy_store(store, "s3://nowhere")
    assert "s3://nowhere" in told.value.where


def test_an_endpoint_that_does_not_answer_is_one_clear_error(environment, store, url, monkeypatch):
    reader = FeatureReader(url, "frame", open_features(url).attrs)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    system, _ = file_system(url)
    system.clear_instance_cache()
    for act in (lambda: open_features(url), lambda: copy_store(store, "s3://features/silence")):
        with pytest.raises(InputError, match="AWS_ENDPOINT_URL"):
            act()
    with pytest.raises(InputError, match="check that the storage answers"):
        reader.read([Cut((0,), slice(0, 2), slice(0, 3))], [torch.empty((1, 2, 3, 96), dtype=torch.float16)])
    system.clear_instance_cache()


def test_missing_credentials_are_one_clear_error(environment, url, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    system, _ = file_system(url)
    system.clear_instance_cache()
    with pytest.raises(InputError, match="credentials"):
        open_features(url)
    system.clear_instance_cache()


def test_storage_that_is_not_installed_is_one_clear_error():
    with pytest.raises(InputError, match="storage is installed"):
        open_features("nosuchstorage://bucket/key.zarr")


def test_an_interrupted_upload_goes_on(store, url, monkeypatch):
    read, done = copying._read_block, []

    def stops(*arguments):
        if len(done) == 2:
            raise InputError("the network", "is gone", "a network", "wait")
        done.append(arguments[1])
        return read(*arguments)

    monkeypatch.setattr(copying, "_read_block", stops)
    with pytest.raises(InputError, match="the network"):
        copy_store(store, "s3://features/interrupted")
    place = f"s3://features/interrupted/{store.name}"
    assert BEGUN in sizes(place)
    with pytest.raises(InputError, match="no finished feature store"):
        open_features(place)
    rest = []
    monkeypatch.setattr(copying, "_read_block", lambda *arguments: rest.append(arguments[1]) or read(*arguments))
    copy_store(store, "s3://features/interrupted")
    assert not set(rest) & set(done)
    assert sizes(place) == sizes(url)


def test_a_copy_in_a_bucket_is_described_and_verified(url, damageable):
    for verb, told in (("info", "patch grid"), ("verify", "every record is as it was written")):
        assert told in CliRunner().invoke(app, ["features", verb, url]).output
    found = CliRunner().invoke(app, ["features", "verify", damageable("frame_patches/c/0/0/0/0", 50)])
    assert found.exit_code == 1
    assert "frame_patches, row 0: " in found.output
