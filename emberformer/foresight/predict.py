"""The study's second part: how well the features of coming frames are predicted, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from emberformer.atomic import replacing_file
from emberformer.errors import InputError
from emberformer.foresight.clips import Clips, read_clips
from emberformer.foresight.closed_form import Climatology, Copy, Damped, Ridge, fit_damped, fit_ridge
from emberformer.foresight.gains import WITHOUT_WIND, prediction_table
from emberformer.foresight.networks import Task, build_network
from emberformer.foresight.similarity import tested
from emberformer.foresight.standard import Standard, fit_standard
from emberformer.foresight.study import foresight_settings, write_table
from emberformer.foresight.sums import feature_sums, regions, rows_of
from emberformer.foresight.training import Learned, train_predictor
from emberformer.foresight.windows import Batch, Windows
from emberformer.foresight_settings import ForesightSettings
from emberformer.layout import Layout
from emberformer.settings import Settings, Split

Predict = Callable[[Batch, int], Float[Tensor, "B Gy Gx D"]]
CLOSED = ("copy", "climatology", "damped", "ridge", "ridge_3x3")
STEP_BY_STEP = "rollout"


def write_predictions(settings: Settings, layout: Layout) -> Path:
    """Fit and train all predictors and write `predictors.pt` and `gap_predict.csv`.

    Raises:
        InputError: no study in the configuration, a missing store, or no fire that is long enough.
    """
    of = foresight_settings(settings, layout.config)
    clips = read_clips(layout, of)
    shown = tested(clips, of.gaps[-1], layout.split)
    windows = Windows(clips, fit_standard(clips, of.components), of.history, of.gaps[-1])
    predictors = fit_all(windows, of)
    save_predictors(layout.foresight / "predictors.pt", windows.standard, predictors)
    chosen = choose(windows, predictors, of)
    named = dict(predictors)
    if of.gaps[0] == 1 and isinstance(predictors[chosen], Learned):
        named[STEP_BY_STEP] = StepByStep(windows, predictors[chosen])  # type: ignore[arg-type]
    sums = score(windows, named, of, "test")
    tables = [prediction_table(part, sums, settings, list(named), chosen) for part in shown]
    return write_table(pd.concat(tables), layout.foresight / "gap_predict.csv")


def fit_all(windows: Windows, of: ForesightSettings) -> dict[str, Predict]:
    """All predictors by name, simple ones first."""
    standard = windows.standard
    found: dict[str, Predict] = {
        "copy": Copy(standard),
        "climatology": Climatology(standard),
        "damped": fit_damped(windows, of.gaps),
        "ridge": fit_ridge(windows, of.gaps, 0, of.penalties),
        "ridge_3x3": fit_ridge(windows, of.gaps, of.neighbour_components, of.penalties),
    }
    for trunk in of.trained:
        found[trunk] = Learned(windows, train_predictor(windows, of, trunk, wind=True))
    for trunk in of.without_wind:
        name = trunk + WITHOUT_WIND
        found[name] = Learned(windows, train_predictor(windows, of, trunk, wind=False, label=name))
    return found


class StepByStep:
    """A rollout in the space of features: the prediction of one frame ahead is told as the newest frame of the next.

    What the components leave out stays as it is in the newest frame that was observed.

    Args:
        windows: whose standard features are predicted.
        learned: a predictor that knows the gap 1.
    """

    def __init__(self, windows: Windows, learned: Learned):
        self.windows, self.learned = windows, learned

    def __call__(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Standard features `gap` frames later."""
        now = batch
        for _ in range(gap):
            newest = now.patches[:, -1:] + self.learned.change(now, 1)[:, None]
            now = replace(
                now,
                patches=torch.cat([now.patches, newest], 1)[:, 1:],
                valid_t=torch.cat([now.valid_t, torch.ones_like(now.valid_t[:, :1])], 1)[:, 1:],
                wind=functional.pad(now.wind[:, 1:], (0, 0, 0, 1)),
            )
        return self.windows.standard.moved(batch.newest, now.patches[:, -1] - batch.patches[:, -1])


def choose(windows: Windows, predictors: Mapping[str, Predict], of: ForesightSettings) -> str:
    """The trained predictor of least error on validation, as a share of persistence's and averaged over gaps."""
    names = [name for name in predictors if name not in CLOSED]
    if not names:
        return "ridge"
    sums = score(windows, {name: predictors[name] for name in ("copy", *names)}, of, "validation")
    total = sums.loc[sums.region == "all"].groupby(["predictor", "gap"]).squared.sum().unstack()
    return str((total.loc[names] / total.loc["copy"]).mean(axis=1).idxmin())


def score(windows: Windows, predictors: Mapping[str, Predict], of: ForesightSettings, split: Split) -> pd.DataFrame:
    """Sums of every window: predictor, gap, region and `SUMS`."""
    found = []
    batches = windows.in_order(split, of.windows_per_fire)
    for batch in tqdm(batches, desc=f"predict {split}", unit="batch", delay=1, mininterval=2):
        for gap in of.gaps:
            later = windows.standard.of(batch.later(gap)).flatten(1, 2)
            counted = regions(batch.share, batch.share_later(gap), batch.valid)
            for name, predict in predictors.items():
                predicted = predict(batch, gap).flatten(1, 2)
                for region, patches in counted.items():
                    sums = feature_sums(predicted, later, patches, windows.standard)
                    found.append(rows_of(batch.fires, {"predictor": name, "gap": gap, "region": region}, sums))
    return pd.concat(found, ignore_index=True)


def save_predictors(path: Path, standard: Standard, predictors: Mapping[str, Predict]) -> None:
    """Write what was fitted and trained, in plain types."""
    networks = {name: one.network.state_dict() for name, one in predictors.items() if isinstance(one, Learned)}
    content = {
        "standard": {
            "mean": standard.mean,
            "deviation": standard.deviation,
            "directions": standard.directions,
            "scale": standard.scale,
        },
        "damping": next(one.damping for one in predictors.values() if isinstance(one, Damped)),
        "ridge": {name: one.weight for name, one in predictors.items() if isinstance(one, Ridge)},
        "networks": networks,
    }
    with replacing_file(path) as partial:
        torch.save(content, partial)


def load_predictors(path: Path, clips: Sequence[Clips], of: ForesightSettings) -> tuple[Windows, dict[str, Predict]]:
    """The windows and the predictors that `write_predictors` left.

    Raises:
        InputError: the file is missing or is of other settings.
    """
    remedy = "run `emberformer foresight predict`"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(path, str(error), "predictors of the study", remedy) from error
    standard = Standard(**content["standard"])
    windows = Windows(clips, standard, of.history, of.gaps[-1])
    found: dict[str, Predict] = {
        "copy": Copy(standard), "climatology": Climatology(standard), "damped": Damped(standard, content["damping"]),
    }  # fmt: skip
    for name, weight in content["ridge"].items():
        found[name] = Ridge(standard, of.neighbour_components if name == "ridge_3x3" else 0, weight)
    for name, state in content["networks"].items():
        trunk = name.removesuffix(WITHOUT_WIND)
        task = Task(standard.scale, clips[0].static.shape[-1], standard.scale, of.gaps, name == trunk)
        network = build_network(task, trunk, of.head, of)  # type: ignore[arg-type]
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(path, str(error)[:200], "networks of these settings", remedy) from error
        found[name] = Learned(windows, network.eval())
    return windows, found


def chosen_predictor(path: Path) -> str:
    """The trained predictor that validation chose, by the table of predictions.

    Raises:
        InputError: there is no such table.
    """
    try:
        table = pd.read_csv(path)
    except OSError as error:
        raise InputError(path, str(error), "the table of predictions", "run `emberformer foresight predict`") from error
    return str(table.loc[np.flatnonzero(table.chosen)[0], "predictor"])
