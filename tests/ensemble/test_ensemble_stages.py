"""The ensemble from the stores to its members: what is served, trained, drawn and written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from emberformer.arrival_leads import NEVER, UNKNOWN, burn_probability, observed_lead
from emberformer.checkpoint import open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.data.texts import Texts
from emberformer.dataset import FireSteps, Step, list_steps
from emberformer.ensemble.batches import margin_of, reach_of, read_priors, read_texts
from emberformer.ensemble.checkpoint import load_ensemble, load_prior
from emberformer.ensemble.context import context_tokens
from emberformer.ensemble.drawing import AT_ONCE, Futures, cut
from emberformer.ensemble.dropout import write_dropout
from emberformer.ensemble.hindcast import futures_of, hindcast_ensemble, whole_frames
from emberformer.ensemble.training import FlowTraining, _state, train_ensemble
from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.layout import Layout
from emberformer.member_store import open_members
from emberformer.network_sizes import Sizes
from emberformer.overrides import changed
from emberformer.settings import Settings
from emberformer.training import train
from tests.command_line import command_line
from tests.stores import ENSEMBLE, leaking, prepare, save_settings, tiny_experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two landscapes of different window sizes, the network trained for two epochs and the ensemble for two."""
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("ensemble"), {"tiny": (28, 42), "other": (50, 36)}, model={"lead_times": 2},
        training={"crop": 2}, ensemble=ENSEMBLE, forecast={"leads": 2},
    )  # fmt: skip
    prepare(settings, layout)
    train(settings, layout, 0, "cpu")
    for name in settings.datasets:
        hindcast(settings, layout, 0, name, "cpu", learner_leads=2)
    return settings, layout, train_ensemble(settings, layout, 0, "cpu")


@pytest.fixture(scope="module")
def drawn(trained):
    settings, layout, _ = trained
    store = hindcast_ensemble(settings, layout, 0, "tiny", "cpu")
    return open_forecasts(store), open_members(store.with_suffix(".members.zarr"))


def test_what_is_to_come_is_served_for_all_leads(trained):
    _, layout, _ = trained
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    landscape, fires = landscapes[0], landscapes[0].fires
    height, width = fires.sizes["y"], fires.sizes["x"]
    fire = list_steps(landscapes, split, "train")[0].fire
    row = int(landscape.row_start[fire]) + 1
    names = ("arrival_lead", "coming_wind", "frame_cls", "patch_valid", "patches_to_come", "frame_patches")
    items = FireSteps(landscapes, [Step(0, fire, 1), Step(0, fire, 3)], 3, inputs=names, leads=3)
    item = items[0]
    assert np.array_equal(item["arrival_lead"][:height, :width], observed_lead(fires.burned[row : row + 4].values))
    assert (item["arrival_lead"][height:] == UNKNOWN).all()
    assert np.allclose(item["coming_wind"], landscape.wind[row : row + 3])
    later = FireSteps(landscapes, [Step(0, fire, 4)], 3, inputs=("frame_patches",))[0]
    assert torch.equal(item["patches_to_come"][0], later["frame_patches"][-1])
    assert item["frame_cls"].shape == (landscape.features,)
    assert item["patch_valid"].all()
    assert (items[1]["arrival_lead"] == UNKNOWN).all()  # the fire has five frames


def test_what_is_to_come_turns_with_the_view(trained):
    _, layout, _ = trained
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    steps = list_steps(landscapes[:1], split, "train", frames_ahead=2)
    names = ("arrival_lead", "coming_wind", "wind", "fire_pixels")
    seen = 0
    for epoch in range(6):
        items = FireSteps(landscapes, list(steps), 3, flip=True, seed=epoch, inputs=names, leads=1)
        for index in range(len(items)):
            item = items[index]
            assert torch.allclose(item["coming_wind"][0] / 10, item["wind"][-1], atol=1e-6)
            known = item["arrival_lead"] != UNKNOWN
            assert torch.equal(item["arrival_lead"][known] <= 1, item["target"][known] == 1)
            assert torch.equal((item["arrival_lead"] == 0)[known], (item["fire_pixels"][0] > 0)[known])
            seen += 1
    assert seen > 20


def test_steps_have_as_many_frames_ahead_as_are_asked_for(trained):
    _, layout, _ = trained
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    for ahead in (1, 3):
        steps = list_steps(landscapes, split, "train", frames_ahead=ahead)
        assert max(step.step for step in steps) == 5 - 1 - ahead
    assert list_steps(landscapes, split, "train", frames_ahead=5) == []


def test_context_tokens_say_winds_and_what_is_padding():
    wind = torch.tensor([[[0.0, 0.0], [1.0, 2.0], [9.0, 9.0]]])
    coming = torch.tensor([[[30.0, -10.0], [torch.nan, 5.0]]])
    valid = torch.tensor([[False, True, True]])
    fire = torch.zeros(1, 2, 4, 4)
    fire[0, 0, 0, :3], fire[0, 1, 0, :3] = 1, torch.tensor([1.0, 1.0, 0.5])
    tokens, real = context_tokens(wind, coming, valid, fire, torch.tensor([[30.0, 1800.0]]))
    assert real.tolist() == [[False, True, True, False, True]]  # two past winds, two coming ones, the fire
    assert tokens[0, 1, 3:5].tolist() == [1.0, 2.0]
    assert tokens[0, 2, 3:5].tolist() == [3.0, -1.0]
    assert tokens[0, :, :3].argmax(-1).tolist() == [0, 0, 1, 1, 2]
    burned, grown, frames, metres, seconds = tokens[0, 4, -5:].tolist()
    assert burned == pytest.approx(np.log(4) / 4)
    assert grown == pytest.approx(np.log(2) / 4)
    assert frames == pytest.approx(np.log(3) / 4)
    assert (metres, seconds) == (0.0, 0.0)


def test_a_training_leaves_model_curve_settings_and_monitors(trained):
    settings, _, path = trained
    model = load_ensemble(path)
    assert model.settings == settings
    assert not model.generator.training
    assert model.reach >= 1
    curve = pd.read_csv(path.with_name("metrics.csv"))
    for name in (
        "train/loss", "train/velocity_norm", "train/gradient_norm_patches", "train/alignment", "val/flow",
        "val/attention_context", "val/attention_cls", "val/attention_patches",
    ):  # fmt: skip
        values = curve[name].dropna()
        assert len(values) == 2, name
        assert np.isfinite(values).all(), name
    assert np.nanmax(curve["train/gradient_norm_patches"]) > 0
    shares = curve[["val/attention_context", "val/attention_cls", "val/attention_patches"]].dropna().sum(axis=1)
    assert np.allclose(shares, 1, atol=1e-4)
    assert model.about["validation_loss"] == pytest.approx(curve["val/loss"].min(), abs=1e-6)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(trained, tmp_path, monkeypatch):
    settings, layout, path = trained
    straight = load_ensemble(path).generator.state_dict()
    other = layout.model(7, "ensemble")  # of a seed of its own, so that nothing else is touched
    shutil.copytree(layout.model(0), layout.model(7))
    whole = load_ensemble(train_ensemble(settings, layout, 7, "cpu")).generator.state_dict()
    (other / "model.ckpt").unlink()
    from emberformer.ensemble import training

    real = training.FlowTraining.on_before_zero_grad
    calls = []

    def stops(self, optimizer):
        calls.append(1)
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        real(self, optimizer)

    monkeypatch.setattr(training.FlowTraining, "on_before_zero_grad", stops)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_ensemble(settings, layout, 7, "cpu")
    monkeypatch.setattr(training.FlowTraining, "on_before_zero_grad", real)
    assert (other / "last.ckpt").exists()
    again = load_ensemble(train_ensemble(settings, layout, 7, "cpu")).generator.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert not all(torch.equal(straight[name], again[name]) for name in whole)


def test_members_cover_every_step_and_the_burn_probability_is_theirs(drawn, trained):
    _, layout, _ = trained
    forecasts, members = drawn
    split = read_split(layout.split)["tiny"]
    sizes = {str(f): 5 for f in members.fire_id.values}
    expected = sum(4 for name in split.values() if name in ("validation", "test"))
    assert members.sizes["forecast"] == forecasts.sizes["forecast"] == expected
    assert members.sizes["member"] == 3
    assert len(sizes) == sum(name in ("validation", "test") for name in split.values())
    for number in range(expected):
        lead, probability = members.arrival_lead[number].values, forecasts.probability[number].values
        share, told = burn_probability(lead, 2), members.burn_probability[number].values
        ahead = 5 - 1 - int(members.init_step[number])
        assert np.array_equal(probability[: min(ahead, 2)], told[: min(ahead, 2)], equal_nan=True)
        assert np.array_equal(np.isnan(told), np.isnan(share))
        assert (told[share == 1] > 0).all()
        assert np.array_equal(told == 1, np.broadcast_to(lead[0] == 0, told.shape))
        assert np.isnan(probability[ahead:]).all()
        known = lead[0] != UNKNOWN
        assert (np.diff(share[:, known], axis=0) >= 0).all()
    assert forecasts.attrs["score_kind"] == "probability"


def test_burned_ground_stays_burned_and_nothing_is_drawn_out_of_reach(drawn, trained):
    _, layout, path = trained
    _, members = drawn
    fires = open_landscapes(layout, load_ensemble(path).sizes)[0].fires
    ids = list(map(str, fires.fire_id.values))
    for number in range(members.sizes["forecast"]):
        fire = ids.index(str(members.fire_id.values[number]))
        now = fires.burned.values[int(fires.row_start[fire]) + int(members.init_step[number])]
        lead = members.arrival_lead[number].values
        assert ((lead == 0) == (now == 1)).all()
        assert set(np.unique(lead)) <= {0, 1, 2, NEVER}


def test_members_follow_from_fire_step_and_seed_alone(trained):
    settings, layout, path = trained
    model, found = load_ensemble(path), load_prior(settings, layout, 0)
    assert found is not None
    prior = found[0]
    landscape = open_landscapes(layout, model.sizes)[0]
    steps = list_steps([landscape], {"tiny": read_split(layout.split)["tiny"]}, "test")[:3]
    futures = Futures(model.generator, settings.ensemble, model.reach)

    def members(chosen, number):
        batch = whole_frames(futures, prior, landscape, chosen, settings).__getitems__([number])
        return futures_of(futures, prior, landscape, chosen[number], batch, torch.device("cpu")).arrival_lead

    assert np.array_equal(members(steps, 2), members(steps[::-1], 0))
    other = Futures(model.generator, settings.ensemble.model_copy(update={"seed": 1, "members": 6}), model.reach)
    batch = whole_frames(other, prior, landscape, steps, settings).__getitems__([2])
    assert len(futures_of(other, prior, landscape, steps[2], batch, torch.device("cpu")).arrival_lead) == 6


def test_the_window_holds_all_that_fire_can_reach(trained):
    settings, _, path = trained
    model = load_ensemble(path)
    burned = torch.zeros(84, 112, dtype=torch.bool)
    burned[30:33, 70:74] = True
    rows, columns = Futures(model.generator, settings.ensemble, 3).window(burned)
    assert (rows, columns) == (slice(0, 4), slice(3, 7))  # patches of 14: rows 27 to 36, one patch more on each side
    everything = Futures(model.generator, settings.ensemble, 500).window(burned)
    assert everything == (slice(0, 6), slice(0, 8))
    assert Futures(model.generator, settings.ensemble, 3).window(burned & False) == everything


def test_a_window_is_cut_from_patches_and_pixels_alike():
    grid = torch.arange(12).view(1, 3, 4)
    batch = {
        "patch_valid": grid > 5,
        "frame_patches": grid[:, None, :, :, None].float(),
        "terrain_patches": grid[:, None, :, :, None].float(),
        "fire_pixels": grid.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None].float(),
        "wind": torch.ones(1, 3, 2),
    }
    found = cut(batch, slice(1, 3), slice(2, 4), 2)
    assert found["frame_patches"][0, 0, ..., 0].tolist() == [[6, 7], [10, 11]]
    assert torch.equal(found["terrain_patches"], found["frame_patches"])
    assert found["patch_valid"].all()
    assert found["fire_pixels"][0, 0, ::2, ::2].tolist() == [[6, 7], [10, 11]]
    assert found["origin"].tolist() == [[1, 2]]
    assert torch.equal(found["wind"], batch["wind"])


def test_the_reach_is_the_furthest_that_fire_went(trained):
    _, layout, _ = trained
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    assert 1 <= reach_of(landscapes, split, 1) <= reach_of(landscapes, split, 2)


def test_the_margin_of_a_window_is_the_reach_up_to_a_third(trained):
    settings, layout, _ = trained
    landscapes = open_landscapes(layout, Sizes.of(layout, read_split(layout.split)))
    alone = settings.ensemble.model_copy(update={"prior": False})
    assert margin_of(landscapes, 5, settings, alone) == 5  # windows of 2 x 2 patches of 14 pixels
    assert margin_of(landscapes, 50, settings, alone) == 9
    assert margin_of(landscapes, 50, changed(settings, {"training.crop": None}), alone) == 0
    assert margin_of(landscapes, 5, settings, settings.ensemble) == 0  # the prior knows of fire from outside


def test_a_training_is_told_what_was_forecast_on_whole_frames(trained):
    settings, layout, _ = trained
    split = read_split(layout.split)
    loaded = load_prior(settings, layout, 0)
    assert loaded is not None
    prior, sizes = loaded
    landscapes = open_landscapes(layout, sizes)
    with pytest.raises(InputError, match="emberformer ensemble prior"):
        read_priors(landscapes, layout, 3, split)
    read_priors(landscapes, layout, 0, split)
    steps = list_steps(landscapes[:1], split, "train", frames_ahead=2)
    names = (*prior.model.inputs, "lead", "wind", "valid_t", "coming_wind", "prior")
    whole = FireSteps(landscapes, steps, 3, inputs=names, leads=2)
    cropped = FireSteps(landscapes, steps, 3, crop=2, flip=True, seed=1, inputs=names, leads=2)
    for index in range(len(steps)):
        item = whole.__getitems__([index])
        assert torch.allclose(item["prior"][0, :, :28, :42], prior(item)[0, :, :28, :42], atol=1e-5)
        part = cropped.__getitems__([index])
        burned = part["fire_pixels"][0, 0] > 0.5
        assert (part["prior"][0, :, burned] == 1).all()  # it is turned with the rest
        assert part["prior"].sum() <= item["prior"].sum() + 1e-3


def test_a_draw_that_is_guided_is_no_probability(trained):
    settings, layout, _ = trained
    guided = changed(settings, {"ensemble": {"context_scale": 2.0, "members": 2}})
    assert Layout(guided).model_key("ensemble") == layout.model_key("ensemble")  # how is drawn trains nothing anew
    store = open_forecasts(hindcast_ensemble(guided, Layout(guided), 0, "other", "cpu"))
    assert store.attrs["score_kind"] == "score"
    assert store.attrs["provenance"]["drawn"]["context_scale"] == 2.0


def test_an_ensemble_is_a_method_beside_its_network(trained):
    settings, layout, path = trained
    assert list(layout.trained) == ["emberformer", "emberformer-ensemble"]
    assert layout.trained["emberformer-ensemble"].folder(0) == path.parent
    assert layout.members("emberformer-ensemble-seed-0", "tiny").name == "tiny.members.zarr"
    told = {"cls_only": {"ensemble": {"patches": False, "alignment": 0.0}}}
    varied = Layout(Settings.model_validate({**settings.model_dump(mode="json"), "variants": told}))
    assert list(varied.trained) == ["emberformer", "emberformer-ensemble", "cls_only-ensemble"]
    of = varied.trained["cls_only-ensemble"].layout.settings.ensemble
    assert of is not None
    assert (of.patches, of.leads) == (False, 2)  # the rest is the configuration's


def test_without_patches_mask_and_prior_no_window_tells_where_the_fire_is(trained, monkeypatch):
    settings, _, _ = trained
    bare = {"patches": False, "alignment": 0.0, "prior": False, "mask_channel": False, "epochs": 1, "leads": 1}
    settings = changed(settings, {"ensemble": bare, "forecast.leads": 1, "training.crop": 2})
    layout, learned, told = Layout(settings), set(), []
    loss, window = FlowTraining.terms, Futures.window
    monkeypatch.setattr(
        FlowTraining, "terms", lambda self, of, batch, *more: learned.add(batch["arrival_lead"].shape[1:])
        or loss(self, of, batch, *more),
    )  # fmt: skip
    monkeypatch.setattr(Futures, "window", lambda self, burned: told.append(burned.any()) or window(self, burned))
    model = load_ensemble(train_ensemble(settings, layout, 0, "cpu"))
    assert "frame_patches" not in model.generator.inputs
    grids = [landscape.grid for landscape in open_landscapes(layout, model.sizes)]
    assert learned == {tuple(side * model.sizes.pixels for side in grid) for grid in grids}
    hindcast_ensemble(settings, layout, 0, "tiny", "cpu")
    assert told
    assert not any(told)


def test_a_text_is_told(trained, tmp_path):
    settings, layout, _ = trained
    stores = {}
    for number, name in enumerate(settings.datasets):
        fires = open_fires(layout.fires(name))
        rng, count = np.random.default_rng(number), fires.sizes["fire"]
        stores[name] = str(tmp_path / f"{name}.zarr")
        write_texts(stores[name], rng.normal(size=(count, 5, 12)), rng.random((count, 5)) < 0.6, fires.fire_id.values)
    told = changed(
        settings,
        {"ensemble": {"text": stores, "prior": False, "alignment": 0.0}},
    )
    path = train_ensemble(told, Layout(told), 0, "cpu")
    model = load_ensemble(path)
    assert model.text_features == 12
    assert model.generator.network.state_dict()["text_proj.weight"].shape[1] == 12
    curve = pd.read_csv(path.with_name("metrics.csv"))
    assert np.nanmin(curve["val/attention_text"]) > 0
    hindcast_ensemble(told, Layout(told), 0, "tiny", "cpu")
    landscape = open_landscapes(layout, model.sizes)[0]
    assert told.ensemble is not None
    read_texts([landscape], told.ensemble)
    steps = list_steps([landscape], {"tiny": read_split(layout.split)["tiny"]}, "test")
    futures = Futures(model.generator, told.ensemble, model.reach)
    batch = whole_frames(futures, None, landscape, steps, told).__getitems__([0])
    stored = xr.open_zarr(stores["tiny"], consolidated=False)
    conditions = model.generator.conditioning(batch)
    assert conditions.text is not None
    assert conditions.text_mask is not None
    assert np.allclose(conditions.text[0], stored.tokens[steps[0].fire], atol=1e-6)
    assert conditions.text_mask.any()


def write_texts(path, tokens, mask, fire_ids):
    names = {"tokens": (("fire", "token", "feature"), tokens), "mask": (("fire", "token"), mask)}
    xr.Dataset(names, {"fire_id": ("fire", fire_ids.astype("T"))}).to_zarr(path, mode="w", zarr_format=3)


def test_texts_that_are_none_are_refused(tmp_path):
    ids, tokens, mask = np.array(["a", "b"]), np.ones((2, 3, 4)), np.array([[True, False, False], [False] * 3])
    write_texts(tmp_path / "good.zarr", tokens, mask, ids)
    texts = Texts(tmp_path / "good.zarr", ["b", "a"])
    assert texts.shape == (3, 4)
    assert texts.of(0)["text_mask"].tolist() == [True, False, False]  # without a text: one token of zeros
    assert not texts.of(0)["text"].any()
    assert texts.of(1)["text"].all()
    with pytest.raises(InputError, match="such as c"):
        Texts(tmp_path / "good.zarr", ["a", "c"])
    with pytest.raises(InputError, match="no readable store"):
        Texts(tmp_path / "none.zarr", ["a"])
    write_texts(tmp_path / "nan.zarr", np.full((2, 3, 4), np.nan), mask, ids)
    with pytest.raises(InputError, match="NaN"):
        Texts(tmp_path / "nan.zarr", ["a", "b"])
    xr.Dataset({"tokens": (("fire", "token"), tokens[..., 0])}).to_zarr(tmp_path / "flat.zarr")
    with pytest.raises(InputError, match="a Zarr store with tokens"):
        Texts(tmp_path / "flat.zarr", ["a"])


def test_an_ensemble_is_not_trained_again_on_the_same_forecasts(trained, monkeypatch):
    settings, layout, path = trained
    monkeypatch.setattr("lightning.Trainer.fit", None)
    assert train_ensemble(settings, layout, 0, "cpu") == path
    told = json.loads(path.with_name("finished.json").read_text())
    fires = len(settings.datasets)
    assert len(told) == 3 * fires + 2  # fires, weights of their features, split, network, and what it forecast for them


def test_a_warm_start_tells_what_it_found(trained, caplog):
    settings, _, path = trained
    warm = changed(settings, {"ensemble": {"warm_start": str(path), "epochs": 1, "learning_rate": 1e-9}})
    with caplog.at_level("INFO"):
        started = load_ensemble(train_ensemble(warm, Layout(warm), 0, "cpu")).generator.state_dict()
    before = load_ensemble(path).generator.state_dict()
    assert all(torch.allclose(started[name], before[name], atol=1e-4) for name in before)
    assert "entries copied" in caplog.text


def test_a_warm_start_with_patches_from_one_without_says_what_is_new(trained, caplog, tmp_path):
    settings, _, _ = trained
    told = {"alignment": 0.0, "epochs": 1, "steps_per_fire": 1, "validation_steps_per_fire": 1}
    plain = changed(settings, {"ensemble": told | {"patches": False}})
    path = train_ensemble(plain, Layout(plain), 0, "cpu")
    warm = changed(settings, {"ensemble": told | {"warm_start": str(path), "learning_rate": 1e-9}})
    with caplog.at_level("INFO"):
        started = load_ensemble(train_ensemble(warm, Layout(warm), 0, "cpu")).generator.state_dict()
    before = load_ensemble(path).generator.state_dict()
    assert all(torch.allclose(started[name], before[name], atol=1e-4) for name in before)
    (said,) = [record.message for record in caplog.records if "entries copied" in record.message]
    new = said.partition("new: ")[2].split(", ")
    assert set(new) == started.keys() - before.keys()
    assert "network.dino_patch_proj.weight" in new


def test_members_pass_the_network_one_by_one_on_a_cpu_and_as_many_as_fit_on_a_gpu():
    window = (slice(0, 4), slice(2, 6))
    assert Futures._at_once(torch.device("cpu"), window) == 1
    assert Futures._at_once(torch.device("cuda"), window) == AT_ONCE // 16
    assert Futures._at_once(torch.device("cuda"), (slice(0, 2000), slice(0, 2000))) == 1


def test_a_warm_start_may_lie_in_the_home_folder(trained, monkeypatch):
    path = trained[2]
    monkeypatch.setenv("HOME", str(path.parent))
    assert _state(Path("~") / path.name).keys() == load_ensemble(path).generator.state_dict().keys()


def refused(settings, match, **ensemble):
    with pytest.raises((InputError, ValueError), match=match):
        changed(settings, {"ensemble": ensemble})


def test_settings_that_do_not_fit_are_refused(trained):
    settings, layout, _ = trained
    refused(settings, "forecast.leads is 2", leads=3)
    with pytest.raises(InputError, match="lead_times"):
        changed(settings, {"ensemble.leads": 3, "forecast.leads": 3})
    refused(settings, "at most 1", unconditional=0.9)
    refused(settings, "divisible", heads=3)
    refused(settings, "mask_channel", mask_channel=False)
    refused(settings, "patches: true", patches=False)
    refused(settings, "no data set", text={"elsewhere": "x.zarr"})
    with pytest.raises(InputError, match="add `ensemble"):
        train_ensemble(settings.model_copy(update={"ensemble": None}), layout, 0, "cpu")
    with pytest.raises(InputError, match="emberformer train"):
        train_ensemble(settings, layout, 3, "cpu")
    with pytest.raises(InputError, match="emberformer ensemble train"):
        load_ensemble(layout.model(0) / "model.ckpt")


def test_no_members_are_drawn_of_fires_that_leak(trained, tmp_path, monkeypatch):
    settings, layout, _ = trained
    monkeypatch.setattr("emberformer.ensemble.dropout.with_dropout", lambda network: None)  # this one has none
    with leaking(layout):
        with pytest.raises(InputError, match="burn alike"):
            hindcast_ensemble(settings, layout, 0, "tiny", "cpu")
        with pytest.raises(InputError, match="burn alike"):
            write_dropout(
                settings, layout, 0, "tiny", tmp_path / "dropout.zarr", lambda shape, rng: np.zeros(shape), {}, "cpu"
            )


def test_a_loss_that_is_no_number_stops_with_a_remedy(trained, monkeypatch):
    settings, _, _ = trained
    wild = changed(settings, {"ensemble": {"learning_rate": 0.5, "epochs": 1}})
    from emberformer.ensemble import training

    real = training.flow_terms

    def broken(*arguments):
        terms = real(*arguments)
        return terms._replace(flow=terms.flow * torch.nan, levels=terms.levels * torch.nan)

    monkeypatch.setattr(training, "flow_terms", broken)
    with pytest.raises(InputError, match=r"lower ensemble\.learning_rate"):
        train_ensemble(wild, Layout(wild), 0, "cpu")


def test_the_command_line_names_what_is_missing(tmp_path, monkeypatch, capsys):
    plain = save_settings(tiny_experiment(tmp_path)[0], tmp_path / "plain.yaml")
    code, printed = command_line(monkeypatch, capsys, "ensemble", "train", "--config", plain)
    assert code == 2
    assert "add `ensemble: {}`" in printed
    assert "Traceback" not in printed


def test_a_checkpoint_of_another_version_is_named(trained, tmp_path):
    content = torch.load(trained[2], weights_only=True)
    settings, weights = content["settings"] | {"renamed": 1}, dict(content["state"])
    weights.popitem()
    for other, named in (({"settings": settings}, "renamed"), ({"state": weights}, "Missing key")):
        torch.save(content | other, tmp_path / "model.ckpt")
        with pytest.raises(InputError, match=rf"(?s){named}.*this version trains.*train again"):
            load_ensemble(tmp_path / "model.ckpt")
