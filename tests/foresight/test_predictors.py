"""Predictors: closed forms by hand, networks that begin as persistence, and the table of a tiny store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from emberformer.errors import InputError
from emberformer.foresight.clips import read_clips
from emberformer.foresight.closed_form import Copy, Damped, fit_damped, fit_ridge, inputs
from emberformer.foresight.conditioning import Film, build_head
from emberformer.foresight.gains import prediction_table
from emberformer.foresight.networks import Task, build_network
from emberformer.foresight.predict import (
    StepByStep,
    chosen_predictor,
    load_predictors,
    score,
    write_predictions,
)
from emberformer.foresight.standard import fit_standard
from emberformer.foresight.training import Learned, prediction_loss, train_predictor, usual_loss
from emberformer.foresight.windows import Batch, Windows, cropped
from emberformer.foresight_settings import ForesightSettings, Head, Trained
from tests.stores import prepare, tiny_experiment

TRUNKS: tuple[Trained, ...] = ("linear", "mlp", "mlp_3x3", "transformer", "transformer_cross")
HEADS: tuple[Head, ...] = ("film_global", "film_spatial", "cross_attn", "token")
STUDY = {
    "gaps": [1, 2], "similarity_gaps": 2, "components": 8, "neighbour_components": 4, "d_model": 16, "layers": 1,
    "heads": 2, "crop": 3, "batch_size": 4, "steps": 12, "validations": 2, "history": 3,
    "trained": ["linear", "mlp_3x3"], "without_wind": ["mlp_3x3"],
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("predictors"), {"tiny": (28, 42), "other": (50, 36)},
        foresight=STUDY, evaluation={"replicates": 100},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


@pytest.fixture(scope="module")
def windows(stores):
    settings, layout = stores
    clips = read_clips(layout, settings.foresight)
    return Windows(clips, fit_standard(clips, 8), 3, 2)


@pytest.fixture
def batch(windows):
    return next(windows.in_order("train", None))


def untrained(trunk: Trained, head: Head = "film_global", wind=True, static=5, components=8):
    of = ForesightSettings(gaps=(1, 2), d_model=16, layers=1, heads=2)
    scale = torch.linspace(2, 0.5, components)
    return build_network(Task(scale, static, scale, of.gaps, wind), trunk, head, of)


def randomised(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.fixture
def told(windows):
    """Two made windows of 3 x 4 patches, three frames and two steps to come."""
    torch.manual_seed(1)
    patches = torch.randn(2, 3, 3, 4, 8)
    return Batch(
        patches, torch.ones(2, 3, dtype=torch.bool), torch.randn(2, 5, 2), torch.randn(2, 3, 4, 5), patches[:, -1],
        torch.zeros(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool), np.arange(2), windows.clips[0],
    )  # fmt: skip


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_network_begins_as_persistence(told, trunk):
    assert (untrained(trunk)(told, 2) == 0).all()


@pytest.mark.parametrize("trunk", TRUNKS)
def test_only_the_wind_of_the_gap_is_told_and_none_without_wind(told, trunk):
    wind = told.wind.clone()
    wind[:, -1] += 1  # of the second step to come
    later = replace(told, wind=wind)
    network = randomised(untrained(trunk))
    assert torch.equal(network(told, 1), network(later, 1))
    assert not torch.allclose(network(told, 2), network(later, 2))
    still = randomised(untrained(trunk, wind=False))
    assert torch.equal(still(told, 2), still(replace(told, wind=0 * wind), 2))


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_of_a_head_learns_in_two_steps(told, head):
    network = untrained("transformer_cross", head)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    moved = {name: torch.zeros(()) for name, _ in network.named_parameters()}
    for _ in range(3):
        for gap in (1, 2):
            optimizer.zero_grad()
            (network(told, gap) - 1).square().mean().backward()
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    moved[name] = moved[name] + parameter.grad.abs().sum()
            optimizer.step()
    assert not [name for name, of in moved.items() if of == 0]


def test_global_film_is_the_same_everywhere_and_spatial_film_is_not():
    tokens, vector, steps = torch.randn(2, 6, 16), torch.randn(2, 16), torch.randn(2, 1, 16)
    for spatial in (False, True):
        torch.manual_seed(0)
        film = build_head("film_spatial" if spatial else "film_global", 16, 2)
        assert isinstance(film, Film)
        assert torch.equal(film(tokens, vector, steps), tokens)  # it begins as the identity
        torch.nn.init.normal_(film.out.weight)
        zero = film(torch.zeros_like(tokens), vector, steps)
        moved = film(tokens, vector, steps) - tokens * (film(torch.ones_like(tokens), vector, steps) - zero) - zero
        assert (moved.abs().max() < 1e-4) == (not spatial)


@pytest.mark.parametrize("trunk", ["transformer", "transformer_cross"])
def test_padding_changes_nothing(told, trunk):
    network = randomised(untrained(trunk))
    alone = replace(told, patches=told.patches[:, 1:], valid_t=told.valid_t[:, 1:], wind=told.wind[:, 1:])
    padded = replace(told, valid_t=torch.tensor([[False, True, True]]).expand(2, -1))
    assert torch.allclose(network(padded, 2), network(alone, 2), atol=1e-5)


def test_copying_over_no_frames_is_exact(windows, batch):
    assert torch.equal(Copy(windows.standard)(batch, 0), windows.standard.of(batch.later(0)))


def test_inputs_of_the_ridge_are_the_patches_around(batch):
    found, own = inputs(batch, 2), batch.patches[:, -1]
    assert found.shape[-1] == 8 + 8 * 2 + 1
    assert torch.equal(found[..., :8], own)
    assert (found[..., -1] == 1).all()
    rows, columns = own.shape[1:3]
    assert (found[:, 0, :, 8:10] == 0).all()  # upper left, beyond the grid
    assert torch.equal(found[:, 1, 1, 8:10], own[:, 0, 0, :2])
    assert torch.equal(found[:, rows - 2, columns - 2, 22:24], own[:, rows - 1, columns - 1, :2])


def test_damping_and_ridge_solve_their_normal_equations(windows):
    now, later, design, change = [], [], [], []
    for batch in windows.in_order("train", None):
        now.append(windows.standard.of(batch.newest)[batch.valid])
        later.append(windows.standard.of(batch.later(2))[batch.valid])
        design.append(inputs(batch, 0)[batch.valid])
        change.append((windows.standard.components(batch.later(2)) - batch.patches[:, -1])[batch.valid])
    now, later, design, change = map(torch.cat, (now, later, design, change))
    damped = fit_damped(windows, (2,)).damping[2]
    assert ((now * (later - damped * now)).sum(0).abs() < 1e-2 * now.square().sum(0)).all()
    ridge = fit_ridge(windows, (2,), 0, (1e-6,)).weight[2]
    error = change - design @ ridge
    assert (design.T @ error).abs().max() < 2e-3 * (design.T @ change).abs().max() + 1e-2
    assert error.square().sum() < change.square().sum()
    strong = fit_ridge(windows, (2,), 0, (1e6,)).weight[2]
    assert strong[:-1].abs().max() < 1e-3  # all but the one is penalised


def test_a_crop_is_a_part_of_the_whole(windows, batch):
    part = cropped(batch, 2, 2, np.random.default_rng(0))
    assert part.place is not None
    _, y, x = part.place
    assert part.patches.shape[2:4] == (2, 2)
    for n in range(len(batch.rows)):
        window = (slice(int(y[n, 0, 0]), int(y[n, 0, 0]) + 2), slice(int(x[n, 0, 0]), int(x[n, 0, 0]) + 2))
        assert torch.equal(part.patches[n], batch.patches[n][:, *window])
        assert torch.equal(part.static[n], batch.static[n][window])
        assert torch.equal(part.later(2)[n], batch.later(2)[n][window])
        assert torch.equal(part.share[n], batch.share[n][window])
        assert (batch.share_later(2)[n] > 0).any() <= (part.share_later(2)[n] > 0).any()


def test_the_loss_is_zero_for_the_right_change(windows, batch):
    whole = Windows(windows.clips, fit_standard(windows.clips, 10_000), 3, 2)
    right = whole.standard.components(batch.later(1)) - whole.standard.components(batch.newest)
    for loss in ("mse", "smooth_l1"):
        assert prediction_loss(whole, batch, 1, right, "feature", loss) < 1e-5
        assert prediction_loss(whole, batch, 1, right * 0, "feature", loss) > 1e-4
    grown = (batch.share_later(1) - batch.share)[..., None]
    assert prediction_loss(whole, batch, 1, grown, "mask", "mse") == 0


def test_a_rollout_over_one_frame_is_the_prediction_itself(windows, batch):
    learned = Learned(windows, randomised(untrained("transformer", static=batch.static.shape[-1])))
    rolled = StepByStep(windows, learned)
    assert torch.allclose(rolled(batch, 1), learned(batch, 1), atol=1e-4)
    assert not torch.allclose(rolled(batch, 2), learned(batch, 2), atol=1e-3)


def test_training_lowers_the_error_on_what_it_learns(windows):
    of = ForesightSettings(**{**STUDY, "steps": 60, "learning_rate": 0.01})
    network = train_predictor(windows, of, "mlp_3x3", wind=True)
    learned, copied, left = Learned(windows, network), 0.0, 0.0
    for batch in windows.in_order("train", None):
        wanted = windows.standard.of(batch.later(2))
        copied += float((Copy(windows.standard)(batch, 2) - wanted)[batch.valid].square().sum())
        left += float((learned(batch, 2) - wanted)[batch.valid].square().sum())
    assert left < 0.9 * copied
    again = train_predictor(windows, of, "mlp_3x3", wind=True)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_a_study_leaves_predictors_and_a_table(stores):
    settings, layout = stores
    path = write_predictions(settings, layout)
    table = pd.read_csv(path)
    names = ["copy", "climatology", "damped", "ridge", "ridge_3x3", "linear", "mlp_3x3", "mlp_3x3_no_wind", "rollout"]
    assert table.predictor.unique().tolist() == names
    assert set(table.dataset) == {"tiny", "other"}
    copied = table[table.predictor == "copy"]
    assert (copied.better_than_copy.dropna() == 0).all()
    assert (copied.gain != "yes").sum() >= (copied.better_than_damped_low <= 0).sum()
    assert (table.gain == "yes").equals(table.better_than_damped_low > 0)
    assert chosen_predictor(path) in names[5:8]
    one_step = table[(table.gap == 1) & (table.region == "all")].set_index(["dataset", "predictor"]).mse
    for dataset in ("tiny", "other"):
        assert one_step[dataset, "rollout"] == pytest.approx(one_step[dataset, chosen_predictor(path)], rel=1e-4)
    clips = read_clips(layout, settings.foresight, ("test",))
    windows, loaded = load_predictors(layout.foresight / "predictors.pt", clips, settings.foresight)
    sums = score(windows, loaded, settings.foresight, "test")
    again = pd.concat(
        [prediction_table(part, sums, settings, list(loaded), chosen_predictor(path)) for part in windows.clips]
    )
    merged = again.merge(table, on=["dataset", "gap", "region", "predictor"])
    assert np.allclose(merged.mse_x, merged.mse_y, rtol=1e-4, equal_nan=True)


def test_a_shrunken_forecast_that_is_no_better_than_damping_is_no_gain(stores, windows):
    settings, _ = stores
    damped = fit_damped(windows, settings.foresight.gaps)
    shrunk = Damped(damped.standard, {gap: 0.999 * of for gap, of in damped.damping.items()})
    named = {"copy": Copy(windows.standard), "damped": damped, "shrunk": shrunk}
    sums = score(windows, named, settings.foresight, "test")
    table = prediction_table(windows.clips[0], sums, settings, list(named), "shrunk")
    assert (table[table.predictor == "damped"].better_than_damped.dropna() == 0).all()
    assert (table[table.predictor == "damped"].gain == "undecided").all()
    assert (table[table.predictor == "shrunk"].gain != "yes").all()
    sums = sums_of({"copy": (8,), "damped": (4,), "shrunk": (5,), "better": (3,)})  # all but copying beat copying
    table = prediction_table(windows.clips[0], sums, settings, ["copy", "damped", "shrunk", "better"], "better")
    assert (table[table.predictor != "copy"].better_than_copy_low > 0).all()
    assert table.gain.tolist() == ["no", "undecided", "no", "yes"]


def sums_of(errors: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Squared errors of predictors by gap, of two fires a and b, of which b is three times as large."""
    return pd.DataFrame(
        [{"fire": f"tiny/{fire}", "gap": gap, "region": "all", "predictor": name, "patches": 1, "raw_squared": 0.0,
          "cosine": 0.0, "centred": 0.0, "squared": float(size * error)}
         for name, of in errors.items() for fire, size in (("a", 1), ("b", 3)) for gap, error in enumerate(of, 1)]
    ).sort_values("gap", kind="stable")  # fmt: skip


def test_what_the_wind_and_the_gap_bring_is_told_over_the_same_fires(stores, windows):
    """Fires a and b; of both the network with wind has half the error at gap 1, and at gap 2 as much as without."""
    errors = {"copy": (8, 8), "damped": (4, 8), "mlp": (1, 4), "mlp_no_wind": (2, 4)}
    table = prediction_table(windows.clips[0], sums_of(errors), stores[0], list(errors), "mlp").set_index(
        ["predictor", "gap"]
    )
    ends = ["better_than_no_wind", "better_than_no_wind_low", "better_than_no_wind_high"]
    assert table.loc[("mlp", 1), ends].tolist() == [50, 50, 50]
    assert table.wind_helps.to_dict() | {("mlp", 1): "yes", ("mlp", 2): "undecided"} == table.wind_helps.to_dict()
    assert (table.loc["copy"].wind_helps == "").all()
    assert table.loc[("mlp", 1), "more_than_first"] == 0
    assert table.loc[("mlp", 2), ["more_than_first", "more_than_first_high"]].tolist() == [50 - 75, 50 - 75]


def test_missing_predictors_are_told(stores, tmp_path):
    settings, layout = stores
    clips = read_clips(layout, settings.foresight, ("test",))
    with pytest.raises(InputError, match="foresight predict"):
        load_predictors(tmp_path / "none.pt", clips, settings.foresight)


def test_losses_are_told_by_that_of_persistence(windows):
    of = ForesightSettings(**STUDY)
    usual = usual_loss(windows, of, "feature")
    errors = []
    for batch in windows.in_order("train", 1):
        wanted = windows.standard.of(batch.later(2))
        errors.append(
            (float((Copy(windows.standard)(batch, 2) - wanted)[batch.valid].square().mean()), len(batch.rows))
        )
    values, counts = np.array(errors).T
    assert usual[2] == pytest.approx((values * counts).sum() / counts.sum(), rel=1e-4)
    assert usual[1] < usual[2]
