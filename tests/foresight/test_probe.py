"""Heads, targets and the fire that features tell: overlaps by hand, and the tables of a tiny store."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from emberformer.errors import InputError
from emberformer.features.patch_means import burned_share
from emberformer.forecast_store import ForecastBlock, open_forecasts, valid_times, write_forecasts
from emberformer.foresight.clips import Clips, read_clips
from emberformer.foresight.heads import head_table, write_head_grid
from emberformer.foresight.mask_decoder import burned_cells, fit_decoder, overlaps, read_cells
from emberformer.foresight.networks import Linear
from emberformer.foresight.predict import load_predictors, write_predictions
from emberformer.foresight.probe import _of_pixels, _places, write_probe
from emberformer.foresight.standard import fit_standard
from emberformer.foresight.training import LearnedShare
from emberformer.foresight.windows import Batch
from emberformer.landscape import Landscape
from emberformer.overrides import changed
from emberformer.patch_arrays import cell_shares
from tests.stores import prepare, tiny_experiment

STUDY = {
    "gaps": [1, 2], "similarity_gaps": 2, "components": 8, "neighbour_components": 4, "d_model": 8, "layers": 1,
    "heads": 1, "crop": 3, "batch_size": 4, "steps": 4, "validations": 1, "history": 2, "trained": ["linear"],
    "without_wind": [], "grid_trunk": "mlp", "cells": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("probe"), foresight=STUDY, evaluation={"replicates": 100}, forecast={"leads": 2}
    )
    prepare(settings, layout)
    write_predictions(settings, layout)
    return settings, layout


def test_overlaps_by_hand():
    now = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    forecast, observed = torch.tensor([[0.0, 1.0, 0.5, 0.0]]), torch.tensor([[1.0, 1.0, 0.0, 1.0]])
    found = {name: float(of[0]) for name, of in overlaps(forecast, observed, now).items()}
    assert (found["common"], found["either"]) == (2, 3.5)  # what burns now stays burned in the forecast
    assert (found["common_new"], found["either_new"]) == (1, 2.5)
    assert (found["squared"], found["cells"]) == (0.25 + 1, 4)


def test_a_fire_that_goes_out_is_forecast_to():
    now, observed = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    found = {name: float(of[0]) for name, of in overlaps(observed, observed, now, stays_burned=False).items()}
    assert found["common"] == found["either"] == 2
    assert found["common_new"] == found["either_new"] == 1
    assert found["squared"] == 0


def test_persistence_has_no_new_fire():
    now = torch.rand(2, 5)
    found = overlaps(now, torch.maximum(now, torch.rand(2, 5)), now)
    assert (found["common_new"] == 0).all()
    assert (found["either_new"] > 0).all()


def test_cells_are_numbered_row_by_row_in_their_patch():
    burned = np.zeros((1, 4, 7), np.float32)  # two patches of 4, the second cut off
    burned[0, :2, 2:4] = 1  # upper right cell of the first patch
    burned[0, 2:, 4] = 1  # half of the lower left cell of the second
    found = cell_shares(burned, (1, 2), 4, 2, "foresight.cells")
    assert found.tolist() == [[[[0, 1, 0, 0], [0, 0, 0.5, 0]]]]
    with pytest.raises(InputError, match=r"foresight\.cells"):
        cell_shares(burned, (1, 2), 4, 3, "foresight.cells")


def test_cells_are_those_of_the_stored_frames(stores):
    settings, layout = stores
    (clips,) = read_clips(layout, settings.foresight)
    rows = np.array([0, 3, len(clips.features) - 1])
    cells = burned_cells(clips, rows, 2)
    inside = clips.landscape.patch_valid
    assert torch.allclose(cells.mean(-1)[:, inside], clips.share[rows][:, inside], atol=1e-6)


def test_true_features_tell_the_fire_better_than_its_mean(stores):
    settings, layout = stores
    clips = read_clips(layout, settings.foresight)
    standard = fit_standard(clips, 8)
    told, cells = fit_decoder(clips, standard, 2)(standard.of(clips[0].features))
    share = clips[0].share
    assert (told - share).square().mean() < 0.5 * (share - share.mean()).square().mean()
    assert cells.shape[-1] == 4
    assert (told >= 0).all()
    assert (told <= 1).all()


def test_a_grid_of_heads_and_targets(stores):
    settings, layout = stores
    table = pd.read_csv(write_head_grid(settings, layout))
    assert len(table) == 2 * 4 * 2
    assert set(table.target) == {"feature", "mask"}
    assert set(table["head"]) == {"film_global", "film_spatial", "cross_attn", "token"}
    own = table[table["head"] == "film_global"]
    assert (own.better_than_global == 0).all()
    assert (table.better_than_copy_low <= table.better_than_copy_high).all()


def test_heads_are_compared_on_the_same_fires(stores):
    settings, _ = stores
    sums = pd.DataFrame(
        [(f"tiny/{fire}", "mask", head, 1, squared) for fire, of in {"a": (4.0, 2.0, 3.0), "b": (8.0, 4.0, 6.0)}.items()
         for head, squared in zip(("copy", "film_global", "film_spatial"), of, strict=True)],
        columns=["fire", "target", "head", "gap", "squared"],
    )  # fmt: skip
    table = head_table("tiny", sums, settings).set_index("head")
    assert table.loc["film_global", "better_than_copy"] == 50
    assert table.loc["film_spatial", "better_than_copy"] == 25
    assert table.loc["film_spatial", ["better_than_global_low", "better_than_global_high"]].tolist() == [-25, -25]


def test_the_fire_read_from_features(stores):
    _, layout = stores
    table = pd.read_csv(write_probe(settings := stores[0], layout))
    assert set(table.reader) == {"probe", "decoder"}
    assert set(table.source) == {"persistence", "truth", "copy", "damped", "ridge_3x3", "linear", "rollout"}
    assert (table[table.source == "copy"].more_than_copy.dropna() == 0).all()
    assert (table[table.source == "persistence"].iou_new.dropna() == 0).all()
    assert settings.foresight.gaps == tuple(sorted(set(table.gap)))


def write_perfect_forecasts(settings, layout, steps):
    """Forecasts two frames ahead that are what burned, from some frames of every fire."""
    fires = read_clips(layout, settings.foresight)[0].landscape.fires

    def blocks():
        for fire, name in enumerate(map(str, fires.fire_id.values)):
            start, size = int(fires.row_start[fire]), int(fires.row_size[fire])
            for step in range(size)[steps]:
                ahead = np.minimum(step + np.array([1, 2]), size - 1)
                burned = fires.burned.values[start + ahead].astype(np.float32)
                times = valid_times(fires.valid_time.values[start + step], 90.0, 2)
                yield ForecastBlock(name, "test", step, fires.valid_time.values[start + step], times, burned)

    shape = (2, fires.sizes["y"], fires.sizes["x"])
    path = layout.forecasts("emberformer-seed-0", "tiny")
    write_forecasts(
        path, blocks(), method="emberformer-seed-0", dataset="tiny", shape=shape, provenance={},
        score_kind="probability", sees_target_wind=True,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [slice(None), slice(1, None, 2)])
def test_forecasts_in_pixels_stand_beside(stores, steps):
    """Perfect forecasts in pixels find all new fire, and everything is scored from the frames that they are from."""
    settings, layout = stores
    asked = changed(settings, {"foresight.pixel_rollout": True})
    write_perfect_forecasts(settings, layout, steps)
    of, clips = settings.foresight, read_clips(layout, settings.foresight)
    windows, _ = load_predictors(layout.foresight / "predictors.pt", clips, of)
    store = open_forecasts(layout.forecasts("emberformer-seed-0", "tiny"))
    frames = [
        number for batch in windows.in_order("test", 1, {"tiny": _places(store)})
        for _, number in batch.clips.named(batch.rows)
    ]  # fmt: skip
    assert set(frames) == set(range(clips[0].size.max() - of.gaps[-1])[steps])
    table = pd.read_csv(write_probe(asked, layout)).set_index(["reader", "gap", "source"])
    assert np.allclose(table.loc[("probe", slice(None), "pixel"), "iou_new"].dropna(), 1)
    assert table.loc[("probe", 2, "copy"), "iou_new"] < 1


def one_window(share: float, stays_burned: bool = True) -> Batch:
    """A window of 7 x 7 pixels, in patches of 4 of which some are cut off, that burns in this share of each patch."""
    landscape = Landscape.__new__(Landscape)
    landscape.grid, landscape.pixels, landscape.window, landscape.origin = (2, 2), 4, 7, np.array([[0, 0], [5, 1]])
    landscape.stays_burned = stays_burned
    landscape.fires = xr.Dataset({"fire_id": ("fire", ["other", "own"])})
    shares, frame = torch.full((1, 2, 2), share), torch.zeros(1, 2, 2, 1)
    clips = Clips(
        "tiny", landscape, np.array([1]), ("test",), np.array([0]), np.array([1]), frame, torch.zeros(1, 1), shares,
        frame, torch.zeros(1, 2), torch.ones(2, 2, dtype=torch.bool),
    )  # fmt: skip
    return Batch(
        frame[None], torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 2, 2), frame, frame, shares, clips.valid[None],
        np.array([0]), clips,
    )  # fmt: skip


def test_forecasts_in_pixels_are_read_in_the_window_and_on_real_pixels_alone():
    """Where all of a window burns, a forecast of that is no error, not even in the patches cut off."""
    batch, burned = one_window(0.0), np.ones((1, 7, 7), np.uint8)
    raster = np.zeros((1, 1, 14, 9), np.float32)
    raster[..., 5:12, 1:8] = 1
    store = xr.Dataset({"probability": (("forecast", "lead", "y", "x"), raster)}, {"lead": [1]})
    cells = read_cells(burned.astype(np.float32), batch.clips.landscape, 2)
    observed, now = (torch.from_numpy(burned_share(burned, 4)), cells), (batch.share, torch.zeros_like(cells))
    of_patches, of_cells = _of_pixels(store, {("own", 0): 0}, batch, observed, now, 1, 2)
    assert of_patches.squared.tolist() == of_cells.squared.tolist() == [0]
    assert of_patches.common.tolist() == of_patches.either.tolist() == [4]


@pytest.mark.parametrize(("stays_burned", "least"), [(True, 0.5), (False, 0.0)])
def test_a_learned_share_falls_where_fires_go_out_alone(stays_burned, least):
    class Falling(Linear):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def forward(self, batch, gap):
            return -torch.ones(1, 2, 2, 1)

    found = LearnedShare(Falling())(one_window(0.5, stays_burned), 1)
    assert torch.equal(found, torch.full((1, 2, 2), least))


def test_forecasts_in_pixels_that_no_test_window_has_are_refused(stores):
    settings, layout = stores
    write_perfect_forecasts(settings, layout, slice(-1, None))
    with pytest.raises(InputError, match=r"lower forecast\.every or foresight\.gaps"):
        write_probe(changed(settings, {"foresight.pixel_rollout": True}), layout)


def test_forecasts_that_do_not_reach_are_refused(stores):
    with pytest.raises(InputError, match=r"forecast\.leads"):
        changed(stores[0], {"foresight.pixel_rollout": True, "forecast.leads": 1})
