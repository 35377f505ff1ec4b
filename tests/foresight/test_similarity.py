"""Similarity: hand-worked sums, standard features, and the table of a tiny store."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.errors import InputError
from emberformer.features.store import open_features
from emberformer.foresight.clips import read_clips
from emberformer.foresight.similarity import similarity_sums
from emberformer.foresight.standard import Standard, fit_cls, fit_standard
from emberformer.foresight.study import write_similarity
from emberformer.foresight.sums import SUMS, Pool, better_by, feature_sums, ratio, regions
from emberformer.layout import Layout
from emberformer.overrides import changed
from tests.stores import leaking, prepare, tiny_experiment

PLAIN = Standard(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.0]), torch.eye(2), torch.ones(2))
STUDY = {"gaps": [1, 2], "similarity_gaps": 3, "components": 8, "neighbour_components": 4, "maps": 2}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two landscapes of different window sizes, five frames a fire."""
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("foresight"), {"tiny": (28, 42), "other": (50, 36)},
        foresight=STUDY, features={"layers": [1]},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


@pytest.fixture(scope="module")
def clips(stores):
    settings, layout = stores
    return read_clips(layout, settings.foresight)


def test_sums_by_hand():
    predicted, target = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 1.0], [0.0, 3.0]]])
    counted = torch.tensor([[True, True]])
    sums = {name: of[0] for name, of in feature_sums(predicted, target, counted, PLAIN).items()}
    assert sums["patches"] == 2
    assert sums["squared"] == (1 + 1) / 2 + 9 / 2
    assert sums["raw_squared"] == (1 + 4) / 2 + 36 / 2
    # raw features: predicted (1, 0) twice, target (2, 2) and (1, 6)
    assert sums["cosine"] == pytest.approx(2 / 8**0.5 + 1 / 37**0.5, abs=1e-6)
    assert feature_sums(predicted, target, torch.tensor([[True, False]]), PLAIN)["squared"][0] == 1


def test_changed_patches_are_real_and_burn_more_than_before():
    now, later = torch.tensor([[[0.0, 0.5], [1.0, 0.0]]]), torch.tensor([[[0.0, 0.6], [1.0, 0.2]]])
    found = regions(now, later, torch.tensor([[[True, True], [True, False]]]))
    assert found["all"].tolist() == [[True, True, True, False]]
    assert found["changed"].tolist() == [[False, True, False, False]]


def test_fires_are_pooled_and_not_averaged():
    table = pd.DataFrame({"fire": ["a", "a", "b"], "patches": [1, 1, 8], "squared": [2.0, 4.0, 8.0]})
    total = Pool(["a", "b", "c"], 200, 0).totals(table, ("patches", "squared"))
    assert (total["patches"][0], total["squared"][0]) == (10, 14)
    mean = ratio(total["squared"], total["patches"])
    assert np.nanmin(mean) == 1
    assert np.nanmax(mean) == 3  # of resamples without the one fire or the other
    assert better_by(np.array([3.0, 0.0]), np.array([4.0, 0.0]))[0] == 25


def test_standard_features_have_mean_0_and_deviation_1_over_training_fires_alone(clips):
    standard = fit_standard(clips, 8)
    patches = []
    for part in clips:
        training = torch.from_numpy(np.array(part.split)[part.fire_of] == "train")
        patches.append(standard.of(part.features[training][:, part.valid].flatten(0, 1)))
    of = torch.cat(patches)
    assert of.mean(0).abs().max() < 1e-3
    assert (of.std(0, correction=0) - 1).abs().max() < 1e-3
    assert torch.allclose(standard.directions.T @ standard.directions, torch.eye(8), atol=1e-5)
    whole = fit_standard(clips, 10_000)
    assert whole.directions.shape[0] == whole.directions.shape[1]
    change = torch.randn(3, whole.directions.shape[1])
    now, later = clips[0].features[:3, 0, 0], whole.of(clips[0].features[3:6, 0, 0])
    exact = whole.moved(now, (later - whole.of(now)) @ whole.directions)
    assert torch.allclose(exact, later, atol=1e-3)
    assert not torch.allclose(whole.moved(now, change), whole.of(now))


def test_clips_are_the_stores_rows(stores, clips):
    _, layout = stores
    for part in clips:
        store = open_features(layout.features(part.dataset))
        fires = open_fires(layout.fires(part.dataset))
        assert len(part.fires) == fires.sizes["fire"]
        for place, fire in enumerate(part.fires):
            row, own = int(fires.row_start[fire]) + 2, int(part.start[place]) + 2
            assert np.array_equal(part.features[own], store.frame_patches[int(store.frame_of[row])])
            assert np.array_equal(part.share[own], store.frame_burned[int(store.frame_of[row])])
            wind = fires.weather.sel(weather_variable=["wind_u", "wind_v"])[row] / 10
            assert np.allclose(part.wind[own], wind)


def test_tokens_of_further_layers_stand_beside(stores, clips):
    settings, layout = stores
    wide = read_clips(layout, settings.foresight.model_copy(update={"target_layers": (1,)}))[0]
    store, fires = open_features(layout.features("tiny")), open_fires(layout.fires("tiny"))
    stored = store.frame_layers[int(store.frame_of[int(fires.row_start[wide.fires[1]]) + 2])]
    own, length = int(wide.start[1]) + 2, clips[0].features.shape[-1]
    assert torch.equal(wide.features[..., :length], clips[0].features)
    assert np.allclose(wide.features[own, ..., length:], stored.sel(layer=1), atol=1e-2)
    assert fit_standard([wide], 8).directions.shape == (2 * length, 8)
    with pytest.raises(InputError, match=r"features\.layers"):
        read_clips(layout, settings.foresight.model_copy(update={"target_layers": (2,)}))


def test_history_and_winds_stay_inside_a_fire(clips):
    part = clips[0]
    first = int(part.start[1])
    rows, real = part.history(np.array([first + 1]), 3)
    assert rows.tolist() == [[first, first, first + 1]]
    assert real.tolist() == [[False, True, True]]
    winds = part.winds(np.array([first + 3]), 2, 3)[0]
    assert torch.equal(winds[:4], part.wind[first + 1 : first + 5])
    assert torch.equal(winds[4:], torch.zeros(1, 2))  # the fire has five frames
    assert torch.equal(part.winds(np.array([first]), 2, 1)[0, :2], torch.zeros(2, 2))


def test_windows_are_the_same_for_every_gap_and_have_it_ahead(clips):
    part = clips[0]
    for split in ("train", "validation", "test"):
        windows = part.windows(split, 3)
        assert len(windows) == 2 * sum(of == split for of in part.split)
        assert all(part.fire_of[row] == part.fire_of[row + 3] for row in windows)
    assert len(part.windows("train", 3, 1)) == sum(of == "train" for of in part.split)


def test_a_frame_is_like_itself_exactly(clips):
    standard, of_cls = fit_standard(clips, 8), fit_cls(clips)
    sums = similarity_sums(clips[0], standard, of_cls, [0, 1])
    itself = sums[sums.gap == 0]
    assert (itself.squared == 0).all()
    assert (itself.raw_squared == 0).all()
    assert (sums[(sums.gap == 1) & (sums.region == "all")].squared > 0).any()
    assert set(SUMS) <= set(sums.columns)


def test_a_study_leaves_a_table_and_maps(stores):
    settings, layout = stores
    table = pd.read_csv(write_similarity(settings, layout))
    assert set(table.dataset) == {"tiny", "other"}
    assert set(table.gap) == {0, 1, 2, 3}
    known = table.dropna(subset=["mse"])
    assert (known.mse_low <= known.mse).all()
    assert (known.mse <= known.mse_high).all()
    cls = table[table.region == "cls"]
    assert len(cls) == 2 * 4  # data sets, gaps
    assert (cls.patches == 2 * 2).all()  # test fires, windows that have the longest gap ahead
    maps = xr.open_dataset(layout.foresight / "change_maps_tiny.nc", engine="h5netcdf")
    assert maps.change.dims == ("fire", "gap", "patch_y", "patch_x")
    assert maps.sizes["fire"] == 2
    assert maps.burned_share.sizes["frame"] == 3
    assert (maps.burned_share.diff("frame") >= 0).all()


def test_only_the_fires_that_are_asked_for_are_read(stores):
    settings, layout = stores
    few = read_clips(layout, settings.foresight.model_copy(update={"fires": 1}))[0]
    assert len(few.fires) == 3
    assert set(few.split) == {"train", "validation", "test"}


def test_what_is_too_far_ahead_is_refused(stores):
    settings, layout = stores
    with pytest.raises(InputError, match="longest gap"):
        read_clips(layout, settings.foresight.model_copy(update={"gaps": (1, 9)}))
    with pytest.raises(InputError, match="foresight"):
        write_similarity(changed(settings, {"foresight": None}), layout)


def test_without_validation_fires_that_reach_there_is_no_study(stores, monkeypatch):
    settings, layout = stores
    split = {name: dict.fromkeys(of, "train") for name, of in read_split(layout.split).items()}
    monkeypatch.setattr("emberformer.foresight.clips.read_split", lambda *_: split)
    with pytest.raises(InputError, match="no validation fire with 3 frames"):
        read_clips(layout, settings.foresight)


def test_test_fires_too_short_for_the_maps_are_refused(stores, clips, monkeypatch):
    settings, layout = stores
    far = settings.model_copy(update={"foresight": settings.foresight.model_copy(update={"gaps": (1, 4)})})
    short = [replace(part, size=part.size - 1) for part in clips]
    monkeypatch.setattr("emberformer.foresight.study.read_clips", lambda layout, of: short)
    with pytest.raises(InputError, match="no test fire with 5 frames"):
        write_similarity(far, layout)


def test_fires_that_leak_are_not_studied(stores):
    settings, layout = stores
    told = changed(settings, {"split": {"leakage": "report"}})
    with leaking(layout):
        with pytest.raises(InputError, match="burn alike"):
            read_clips(layout, settings.foresight)
        assert read_clips(Layout(told), settings.foresight)


def test_whole_layers_stand_beside_components(tmp_path):
    study = STUDY | {"target_layers": [1]}
    settings, layout = tiny_experiment(tmp_path, foresight=study, features={"components": 8, "layers": [1]})
    prepare(settings, layout)
    assert settings.foresight is not None
    (clips,) = read_clips(layout, settings.foresight)
    store, row = open_features(layout.features("tiny")), int(clips.start[1]) + 2
    frame = int(store.frame_of[int(open_fires(layout.fires("tiny")).row_start[clips.fires[1]]) + 2])
    hidden = store.frame_layers[frame, 0]
    assert clips.features.shape[-1] == 8 + hidden.shape[-1]
    assert np.allclose(clips.features[row, ..., :8], store.frame_patches[frame], atol=1e-2)
    assert np.allclose(clips.features[row, ..., 8:], hidden, atol=1e-2)
