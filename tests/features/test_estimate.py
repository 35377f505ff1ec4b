"""The estimate: documented figures, the arithmetic of the real model, and a store that was really built."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.estimate import (
    Contents,
    Transformer,
    break_even_epochs,
    count_contents,
    estimate,
    given_contents,
    grid_of,
    image_flop,
)
from emberformer.features.estimate_table import changed_features, describe, image_seconds, transformer_of
from emberformer.features.plan import block_records, make_plan
from emberformer.features.shape import AXES, FURTHER_DIMENSIONS
from emberformer.settings import FeatureSettings
from tests.small_fires import disc, small_fires
from tests.stores import extract_all, ingest_all, save_settings, tiny_experiment

SMALL = Transformer(features=384, blocks=12, patch_size=14, prefix=1)
VIDEOS = given_contents(fires=100_000, frames=16, size=(256, 256), channels=0, window=None)


def test_100000_videos_of_18_by_18_patches_are_400_gb():
    """Seed 003 counts floor(256 / 14) = 18 patches a side: 325 tokens of 384 float16 values, 16 frames a video."""
    cost = estimate(VIDEOS, SMALL, (18, 18))
    assert (cost.images, cost.tokens, cost.token_bytes) == (1_600_000, 325, 768)
    values = 1_600_000 * 325 * 384 * 2
    assert values == pytest.approx(400e9, rel=2e-3)
    shares = 1_600_000 * 324 * 4  # how much of each patch burns
    assert 0 < cost.store_bytes - shares - values < 1e-3 * values  # checksums and indexes


def test_emberformer_pads_the_same_frames_to_19_by_19_patches():
    assert grid_of(VIDEOS, SMALL, 1.0) == (19, 19)
    assert estimate(VIDEOS, SMALL, (19, 19)).store_bytes == pytest.approx(1_600_000 * (362 * 768 + 361 * 4), rel=1e-3)


@pytest.mark.parametrize(
    ("dtype", "components", "token_bytes"),
    [("float16", None, 768), ("bfloat16", None, 768), ("float32", None, 1536), ("int8", None, 386), ("int8", 128, 130),
     ("float16", 128, 256)],
)  # fmt: skip
def test_bytes_of_a_token(dtype, components, token_bytes):
    """int8 has a float16 scale a token; the CLS token stays plain; a patch's burned share takes 4 bytes more."""
    cost = estimate(VIDEOS, SMALL, (18, 18), dtype, components)
    assert cost.token_bytes == token_bytes
    cls_bytes = 1536 if dtype == "float32" else 768
    assert cost.store_bytes == pytest.approx(1_600_000 * (324 * (token_bytes + 4) + cls_bytes), rel=2e-3)


def test_further_layers_are_stored_with_their_prefix():
    plain, more = (estimate(VIDEOS, SMALL, (18, 18), layers=number).store_bytes for number in (0, 2))
    assert more - plain == pytest.approx(1_600_000 * 2 * 325 * 768, rel=1e-3)


def test_10000_fires_make_fewer_than_2000_files():
    fires = given_contents(fires=10_000, frames=16, size=(224, 224), channels=7, window=None)
    for dtype in ("float16", "int8"):
        assert estimate(fires, SMALL, (16, 16), dtype).files < 2000 - 60


@pytest.mark.parametrize(
    ("hidden", "blocks", "side", "gflop"), [(384, 12, 16, 12.17), (384, 12, 32, 63.05), (768, 12, 16, 46.17)]
)
def test_arithmetic_of_a_forward_pass(hidden, blocks, side, gflop):
    """By hand for 16 x 16 patches: 12 (12 384² 257 + 2 257² 384) + 256 14² 384 = 6.085 10⁹ products, twice."""
    assert image_flop(Transformer(hidden, blocks, 14, 1), (side, side)) / 1e9 == pytest.approx(gflop, abs=5e-3)


def test_the_arithmetic_is_that_of_the_real_model():
    """Counted by PyTorch while the model runs; of the attention products it knows some kernels only."""
    settings = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")
    backbone, transformer = load_backbone(settings, torch.device("cpu")), transformer_of(settings)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        backbone.encode(torch.zeros(1, 1, 28, 42))
    counts = counted.get_flop_counts()["Global"].items()
    others = sum(number for kind, number in counts if "attention" not in str(kind) and "bmm" not in str(kind))
    attention = 2 * transformer.blocks * 2 * (6 + transformer.prefix) ** 2 * transformer.features
    assert image_flop(transformer, (2, 3)) - attention == others


def test_epochs_until_the_cache_has_paid_for_itself():
    """15 images a fire, encoded once; 9 steps of 5 frames and one terrain image in every epoch: 15 / 54."""
    fires = given_contents(fires=70, frames=14, size=(224, 224), channels=1, window=None)
    assert break_even_epochs(fires, history=5) == pytest.approx(15 / 54)
    assert break_even_epochs(given_contents(3, 2, (28, 28), 0, None), history=5) == pytest.approx(2.0)


def test_a_shared_terrain_window_and_equal_frames_count_once():
    contents = Contents(3, 30, 20, 2, 4, 28, 28)
    assert (contents.images, contents.rows("frame"), contents.rows("terrain")) == (28, 20, 2)


@pytest.mark.parametrize("window", [None, 28])
@pytest.mark.parametrize(
    ("dtype", "components", "layers"), [("float16", None, ()), ("int8", None, (1, 3)), ("int8", 8, ())]
)
def test_a_store_that_was_built_is_what_was_estimated(tmp_path, window, dtype, components, layers):
    features = {"dtype": dtype, "components": components, "layers": layers, "window": window}
    settings, layout = tiny_experiment(tmp_path, features=features)
    ingest_all(settings, layout)
    fires = open_fires(layout.fires("tiny"))
    contents, transformer = count_contents(fires, window), transformer_of(settings.features)
    grid = grid_of(contents, transformer, 1.0)
    cost = estimate(contents, transformer, grid, dtype, components, len(layers))
    extract_all(settings, layout)
    store = layout.features("tiny")
    arrays = [f"{axis}_{kind}" for axis in AXES for kind in FURTHER_DIMENSIONS]
    blocks = [path for name in arrays for path in (store / name).glob("c/**/*") if path.is_file()]
    assert cost.files == len(blocks)
    # Frames that differ as a whole may be equal within a window.
    assert cost.store_bytes == pytest.approx(sum(path.stat().st_size for path in blocks), rel=0.1 if window else 0)


@pytest.mark.parametrize("frames", [5, 60, 600])
def test_blocks_are_cut_as_the_plan_cuts_them(tmp_path, frames):
    fires = small_fires({"a": [disc((28, 28), (n % 28, n // 28), 0.5) for n in range(frames)]})
    digests = [f"{n:016x}" for n in range(frames)]
    fires = fires.assign_coords(
        frame_digest=("frame", digests), terrain_digest=("terrain", ["0" * 16]),
        band_kind=("band", ["binary"]),
    )  # fmt: skip
    plan = make_plan(fires, tmp_path / "store.zarr")
    assert plan.frame.block == block_records("frame", frames)
    assert plan.terrain.block == block_records("terrain", 1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("facebook/dinov2-small", SMALL), ("facebook/dinov2-with-registers-base", Transformer(768, 12, 14, 5)),
     ("facebook/dinov3-vits16-pretrain-lvd1689m", Transformer(384, 12, 16, 5))],
)  # fmt: skip
def test_sizes_of_published_weights_are_known_without_them(weights, expected):
    assert transformer_of(FeatureSettings(weights=weights)) == expected


def test_sizes_of_a_local_folder_come_from_its_configuration(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "dinov2", "hidden_size": 60, "num_hidden_layers": 3, "num_attention_heads": 3, "patch_size": 7}'
    )
    assert transformer_of(FeatureSettings(weights=str(tmp_path))) == Transformer(60, 3, 7, 1)
    with pytest.raises(InputError, match="--architecture"):
        transformer_of(FeatureSettings(weights=str(tmp_path / "missing")))


def test_a_value_that_does_not_fit_is_named():
    with pytest.raises(InputError, match="--dtype"):
        changed_features(FeatureSettings(), {"dtype": "int4"})
    assert changed_features(FeatureSettings(), {"architecture": "dinov2-base"}).weights == "random"


def test_time_is_that_of_the_whole_extraction(monkeypatch):
    """1,000 images at a tenth of a second; 12.17 TFLOP at 12.17 TFLOP/s on a GPU, beside what one job reads."""
    monkeypatch.setattr("emberformer.features.estimate_table.image_seconds", lambda *_: 0.1)
    contents = given_contents(100, 10, (224, 224), 0, None)
    rows = describe(contents, FeatureSettings(), 5, 12.17, torch.device("cpu"))
    told = {name: figure for name, figure, _ in rows}
    assert (told["time on this machine"], told["time on a GPU"]) == ("1e+02 s", "1 s")
    assert told["reading and writing there"] == "0.42 s"  # 1,000 at 2,372 a second
    assert "time on this machine" not in [name for name, *_ in describe(contents, FeatureSettings(), 5, 300, None)]


def test_the_backbone_is_timed(monkeypatch):
    monkeypatch.setattr("emberformer.features.estimate_table.SECONDS", 0.0)
    settings = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")
    assert 0 < image_seconds(settings, (2, 3), torch.device("cpu")) < 60


def test_the_verb_counts_a_data_set_or_takes_numbers(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    ingest_all(settings, layout)
    config = save_settings(settings, tmp_path / "config.yaml")
    verb = ["features", "estimate", "--no-measure"]
    counted = CliRunner().invoke(app, [*verb, "--config", str(config), "--dataset", "tiny", "--dtype", "int8"])
    assert counted.exit_code == 0, counted.output
    assert "2 x 3 patches of 28 x 42 pixels, padded to 28 x 42" in counted.output
    assert "98 bytes a patch token, as set" in counted.output  # 96 features of dinov2-tiny and a scale
    given = CliRunner().invoke(app, [*verb, "--fires", "100000", "--frames", "16", "--height", "256", "--width", "256"])
    assert "1,600,000" in given.output
    assert "447.2 GB" in given.output
    missing = CliRunner().invoke(app, [*verb, "--config", str(config)])
    assert isinstance(missing.exception, InputError)
    both = CliRunner().invoke(app, [*verb, "--config", str(config), "--dataset", "tiny", "--terrain-channels", "3"])
    assert isinstance(both.exception, InputError)
    assert "--terrain-channels beside --config" in str(both.exception)
