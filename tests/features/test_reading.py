"""Reading: every window, order and view is zarr-python's; damage is an error at first use; no mode changes a number."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from benchmarks.small_store import CACHED_INPUTS
from emberformer.checkpoint import open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.features import rows
from emberformer.features.block import Block, BlockWriter
from emberformer.features.extraction import extract
from emberformer.features.plan import make_plan
from emberformer.features.reading import Cut, FeatureReader
from emberformer.features.rows import Memory
from emberformer.features.shape import AXES, Axis
from emberformer.features.store import open_features, write_index
from emberformer.network_sizes import Sizes
from emberformer.views import turned
from tests.kinds import KINDS, patches_by_zarr, store_of_kind
from tests.stores import ingest_all, prepare, tiny_experiment

WHOLE = (slice(0, 3), slice(0, 4))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return {kind: store_of_kind(tmp_path_factory.mktemp("kind"), kind) for kind in KINDS}


@pytest.fixture
def damageable(stores, tmp_path):
    """A copy of a store that may be spoilt."""

    def copy(kind):
        return shutil.copytree(stores[kind], tmp_path / stores[kind].name)

    return copy


def reader_of(store, axis: Axis = "frame", memory: Memory = "disk"):
    features = open_features(store)
    blank = features.blank.values if "blank" in features else None
    return FeatureReader(store, axis, features.attrs, blank, memory)


def read(reader, cut):
    shape = np.empty(reader.shape[-3:-1])[cut.y, cut.x].shape
    shape = shape[::-1] if cut.view & 4 else shape
    out = torch.empty((len(cut.rows), *reader.shape[1:-3], *shape, reader.shape[-1]), dtype=reader.dtype)
    reader.read([cut], [out])
    return out


cuts = st.tuples(
    st.lists(st.integers(0, 5), min_size=1, max_size=8) | st.lists(st.integers(0, 29), min_size=1, max_size=8),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.integers(0, 7),
)


@pytest.mark.parametrize("memory", ["disk", "ram", "device"])
@pytest.mark.parametrize("kind", KINDS)
def test_windows_views_and_orders_are_what_zarr_python_reads(stores, kind, memory):
    told: dict[Axis, np.ndarray] = {axis: patches_by_zarr(stores[kind], axis) for axis in AXES}
    readers: dict[Axis, FeatureReader] = {axis: reader_of(stores[kind], axis, memory) for axis in AXES}

    @settings(max_examples=30, database=None)
    @given(cuts)
    def law(drawn):
        order, y, x, view = drawn
        cut = Cut(tuple(order), slice(min(y), max(y) + 1), slice(min(x), max(x) + 1), view)
        for axis, reader in readers.items():
            if max(cut.rows) < reader.shape[0]:
                right = turned(told[axis][list(cut.rows)][..., cut.y, cut.x, :], -3, cut.view)
                assert np.array_equal(read(reader, cut).float().numpy(), right)

    law()


def test_a_reader_of_int8_and_bfloat16_gives_what_training_takes(stores):
    assert reader_of(stores["int8"]).dtype == torch.float32
    assert reader_of(stores["bfloat16"], memory="ram").dtype == torch.bfloat16


def test_a_run_of_rows_crosses_blocks(stores):
    cut = Cut(tuple(range(12, 20)), *WHOLE)
    assert [run for _, run in cut.runs()] == [range(12, 20)]
    reader = reader_of(stores["float16"])
    assert isinstance(reader.patches, rows.MappedRows)
    assert [len(piece) for piece in reader.patches.pieces(range(12, 20))] == [4, 4]
    assert np.array_equal(read(reader, cut).float().numpy(), patches_by_zarr(stores["float16"], "frame")[12:20])


@pytest.mark.parametrize(("kind", "array"), [("float16", "frame_patches"), ("int8", "frame_scale")])
def test_every_flipped_byte_of_a_record_is_an_error_at_first_use_that_names_the_block(damageable, kind, array):
    store = damageable(kind)
    path = store / array / "c" / "1" / "/".join("0" * (3 if array.endswith("patches") else 2))
    whole = path.read_bytes()
    size = (len(whole) - 16 * 16 - 4) // 14

    @settings(max_examples=40, database=None)
    @given(st.integers(0, size - 1) | st.integers(size - 4, size - 1), st.integers(0, 7), st.integers(0, 13))
    def law(position, bit, record):
        spoilt = bytearray(whole)
        spoilt[record * size + position] ^= 1 << bit
        path.write_bytes(spoilt)
        reader = reader_of(store)
        with pytest.raises(InputError) as told:
            read(reader, Cut((16 + record,), *WHOLE))
        assert told.value.where == str(path)
        assert f"record {record} " in told.value.found
        assert "verify --fix" in told.value.remedy
        read(reader, Cut((16 + (record + 1) % 14,), *WHOLE))

    law()


@pytest.mark.parametrize("memory", ["ram", "device"])
def test_damage_is_found_while_rows_are_loaded_into_memory(damageable, memory):
    store = damageable("float16")
    path = store / "frame_patches" / "c" / "1" / "0" / "0" / "0"
    spoilt = bytearray(path.read_bytes())
    spoilt[100] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(InputError, match="frame_patches/c/1"):
        reader_of(store, memory=memory)


def test_a_row_is_checked_once(stores, monkeypatch):
    checked, holds = [], Block.holds
    monkeypatch.setattr(Block, "holds", lambda block, number: checked.append(number) or holds(block, number))
    reader = reader_of(stores["float16"])
    for _ in range(2):
        read(reader, Cut((3, 4, 3), *WHOLE))
    assert checked == [3, 4]


@pytest.mark.parametrize("stays_in_memory", [True, False])
def test_a_record_that_its_block_does_not_hold_is_named(damageable, stays_in_memory):
    store = damageable("float16")
    path = store / "frame_patches" / "c" / "1" / "0" / "0" / "0"
    writer = BlockWriter(path.with_name("short"), path.with_name("partial"), (3, 4, 96), "float16", 16)
    writer.append(np.zeros((2, 3, 4, 96), "float16"))
    writer.finish()
    path.with_name("short").replace(path)
    reader = reader_of(store)
    reader.patches.stays_in_memory = stays_in_memory  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="record 9 is missing"):
        read(reader, Cut((25,), *WHOLE))


def test_a_row_that_storage_lost_is_an_error_and_not_the_fill_value(stores):
    for kind, array in (("float16", "frame_patches"), ("bfloat16", "frame_patches"), ("int8", "frame_scale")):
        values = np.asarray(open_features(stores[kind])[array][:3])
        fill = json.loads((stores[kind] / array / "zarr.json").read_text())["fill_value"]
        assert not rows.is_missing(values, fill).any()
        values[1] = np.nan if fill == "NaN" else fill
        assert rows.is_missing(values, fill).tolist() == [False, True, False]


@pytest.mark.parametrize("memory", ["ram", "device"])
def test_rows_that_nothing_holds_or_uses_stay_out_of_memory(tmp_path, memory):
    experiment, layout = tiny_experiment(tmp_path)
    ingest_all(experiment, layout)
    store, fires = layout.features("tiny"), open_fires(layout.fires("tiny"))
    for these in (fires.isel(fire=slice(0, 3), frame=slice(0, 15)), fires):  # 15 of 16 rows, then another block
        make_plan(these, store)
        extract(store, these, experiment.features, 0, 1, 28, "cpu")
        write_index(store, these)
    used = np.unique(open_features(store).frame_of.values)
    assert 15 not in used
    reader = reader_of(store, memory=memory)
    assert isinstance(reader.patches, rows.MemoryRows)
    assert len(reader.patches.values) == len(used)
    cut = Cut((14, 16, 17), slice(0, 2), slice(0, 3))
    assert np.array_equal(read(reader, cut).float().numpy(), patches_by_zarr(store, "frame")[[14, 16, 17]])


@pytest.mark.parametrize("memory", ["ram", "device"])
def test_features_that_do_not_fit_into_memory_are_refused_before_they_are_read(stores, memory, monkeypatch):
    monkeypatch.setattr(rows, "free_memory", lambda device: 60_000)
    with pytest.raises(InputError, match=r"frame_patches(.|\n)*0\.0 GB of memory are free(.|\n)*--memory disk"):
        reader_of(stores["float16"], memory=memory)
    reader_of(stores["components"], memory=memory)  # 30 rows of 12 tokens of 16 float16


def test_the_limit_of_a_job_counts_as_free_memory_does(tmp_path):
    for name, limit in (("", "max"), ("slurm", "9000"), ("slurm/job", "max")):
        group = tmp_path / name
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text("5000\n")
        (group / "memory.stat").write_text("anon 3000\ninactive_file 1500\n")
    (tmp_path / "self").write_text("0::/slurm/job\n")
    assert rows.group_memory(tmp_path / "self", tmp_path) == [9000 - 5000 + 1500]
    assert rows.free_memory(torch.device("cpu")) > 0


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    experiment, layout = tiny_experiment(tmp_path_factory.mktemp("steps"))
    prepare(experiment, layout)
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    return landscapes, list_steps(landscapes, split, "train")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_buffers_are_used_in_turn_and_hold_what_fresh_memory_would(steps):
    landscapes, chosen = steps
    fresh = FireSteps(landscapes, chosen, 3, crop=1, flip=True, seed=5, inputs=CACHED_INPUTS)
    ring = FireSteps(landscapes, chosen, 3, crop=1, flip=True, seed=5, buffers=2, inputs=CACHED_INPUTS)
    batches = [[0, 1, 2], [3, 4, 5], [6, 7], [8, 2, 1]]
    places = []
    for indices in batches:
        batch = ring.__getitems__(indices)
        places.append(batch["frame_patches"].data_ptr())
        assert same(batch, fresh.__getitems__(indices))
    assert places[0] != places[1]
    assert places[2:] == places[:2]


def first(batch):
    return batch


@pytest.mark.slow
@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])  # a spawned one imports all anew
def test_worker_processes_give_the_same_batches(steps, start, workers):
    landscapes, chosen = steps
    data = FireSteps(landscapes, chosen, 3, crop=1, flip=True, seed=5, inputs=CACHED_INPUTS)
    batches = [list(range(n, n + 3)) for n in range(0, 9, 3)]
    here = [data.__getitems__(indices) for indices in batches]  # every handle is open when the workers begin
    loader = DataLoader(
        data, batch_sampler=batches, num_workers=workers, collate_fn=first, multiprocessing_context=start
    )
    there = list(loader)
    assert len(there) == len(here)
    assert all(same(one, other) for one, other in zip(here, there, strict=True))
