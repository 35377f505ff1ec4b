"""Sweeps without an account: Optuna chooses the settings, `train` trains them, a table says what came out.

Every trial trains into the folder that its settings name, so a trial that was run before costs nothing. The journal of
the trials lies beside the table: a sweep that was stopped goes on, and several processes may work on it at once, as
several agents of Weights & Biases would.

References:
    Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization (the tree-structured Parzen estimator).
"""

from __future__ import annotations

import itertools
import logging
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.evaluate.curves import read_curve
from emberformer.layout import Layout
from emberformer.overrides import changed
from emberformer.settings import Settings, digest
from emberformer.sweeps import Sweep
from emberformer.training import train

log = logging.getLogger(__name__)
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)  # trained, or found not to fit; what was interrupted is neither
RANDOM_FIRST = 10  # trials of a Bayesian sweep before it learns from them


def run_sweep(
    settings: Settings,
    sweep: Sweep,
    name: str,
    count: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
) -> Path:
    """Run a sweep up to a number of trials, and write its folder `results/<configuration>/sweeps/<name>`.

    Writes
        trials.csv      a row for each trial: settings, score at the best epoch, seconds, and the model's folder
        best.yaml       the whole configuration with the best settings
        trials-*.log    the journal, from which the sweep goes on; it belongs to these settings and this file

    Args:
        settings: the configuration; its features and split must be there.
        sweep: what varies.
        name: of the folder.
        count: trials in all, those of earlier and of parallel calls included; None: the file's `run_cap`, or the grid.
        seed: of the models, and of what is drawn.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads; None: torch's own choice.

    Returns:
        `best.yaml`.

    Raises:
        InputError: there is no end to the sweep, no trial succeeded, or nothing can be trained.
    """
    folder = Layout(settings).experiment / "sweeps" / name
    folder.mkdir(parents=True, exist_ok=True)
    study, grid = _open_study(folder, settings, sweep, seed), grid_of(sweep, seed)
    count = count or sweep.run_cap or len(grid)
    if not count:
        raise InputError(f"sweep {name}", "no number of trials", "`run_cap`, or --count", "say how many trials to run")
    if grid:
        count = min(count, len(grid))
    if sweep.early_terminate:
        log.info("early_terminate holds on Weights & Biases; here `training.patience` ends a run")
    with tqdm(total=count, initial=min(count, len(_ended(study))), desc=f"sweep {name}", unit="trial") as bar:
        while len(_ended(study)) < count:
            study.sampler = _sampler(study, sweep, grid, seed)
            _run_trial(study, settings, sweep, seed, device, threads)
            _write_table(study, settings, sweep, seed, folder)
            bar.n = min(count, len(_ended(study)))
            bar.set_postfix_str(_so_far(study, count))
    return _write_best(study, settings, sweep, folder)


def grid_of(sweep: Sweep, seed: int = 0) -> list[dict[str, Any]]:
    """All points of a grid, in an order of chance, so that a sweep that is cut short has seen every part of it.

    What is no grid has none.
    """
    if sweep.method != "grid":
        return []
    keys = list(sweep.parameters)
    values = [sweep.parameters[key].choices or () for key in keys]
    points = [dict(zip(keys, point, strict=True)) for point in itertools.product(*values)]
    return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]


def _open_study(folder: Path, settings: Settings, sweep: Sweep, seed: int) -> optuna.Study:
    """The study of this file on this configuration."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    identity = settings.model_dump(mode="json", exclude={"name", "results", "variants", "evaluation", "logging"})
    what = sweep.model_dump(mode="json", include={"method", "metric", "parameters"})
    journal = folder / f"trials-{digest(identity, what, seed)}.log"
    return optuna.create_study(
        study_name=folder.name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction=sweep.metric.goal,
        load_if_exists=True,
    )


def _sampler(study: optuna.Study, sweep: Sweep, grid: list[dict[str, Any]], seed: int) -> BaseSampler:
    """What chooses the next trial.

    Parallel processes must not draw the same, so chance follows from the number of trials. Of a grid the first point is
    taken that no trial has, or else one that has not ended: its process may be gone.
    """
    chance = seed + len(study.trials)
    if sweep.method == "bayes":
        return TPESampler(n_startup_trials=RANDOM_FIRST, seed=chance, constant_liar=True)
    if not grid:
        return RandomSampler(seed=chance)
    ended = [trial.params for trial in _ended(study)]
    begun = ended + [trial.params for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    left = [point for point in grid if point not in ended]
    free = [point for point in left if point not in begun]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # only its interface may change
        return PartialFixedSampler((free or left)[0], RandomSampler(seed=chance))


def _suggested(trial: optuna.Trial, sweep: Sweep) -> dict[str, Any]:
    """Values of one trial, by key."""
    values: dict[str, Any] = {}
    for key, parameter in sweep.parameters.items():
        low, high = parameter.min, parameter.max
        if parameter.choices is not None:
            values[key] = trial.suggest_categorical(key, parameter.choices)
        elif low is not None and high is not None and parameter.whole:
            values[key] = trial.suggest_int(key, int(low), int(high))
        elif low is not None and high is not None:
            values[key] = trial.suggest_float(key, low, high, log=parameter.logarithmic)
    return values


def _run_trial(
    study: optuna.Study, settings: Settings, sweep: Sweep, seed: int, device: str, threads: int | None
) -> None:
    """One trial; where its settings do not fit together, the sweep goes on without it."""
    trial = study.ask()
    try:
        of_trial = changed(settings, _suggested(trial, sweep), f"trial {trial.number}")
    except InputError as error:
        log.warning("trial %d: %s", trial.number, error)
        study.tell(trial, state=TrialState.PRUNED)
        return
    layout = Layout(of_trial)
    try:
        if not _is_trained(layout, seed):
            train(of_trial, layout, seed, device, threads)
        curve = read_curve(layout.model(seed))
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    scores = curve[sweep.metric.name].to_numpy()
    study.tell(trial, float(scores.max() if sweep.metric.goal == "maximize" else scores.min()))


def _is_trained(layout: Layout, seed: int) -> bool:
    """Whether a model is finished, and no older than its split and fires."""
    folder = layout.model(seed)
    model = folder / "model.ckpt"
    if not model.exists() or (folder / "unfinished.json").exists():
        return False
    sources = [layout.split, *(layout.fires(name) / "zarr.json" for name in layout.settings.datasets)]
    return all(source.stat().st_mtime <= model.stat().st_mtime for source in sources)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=ENDED)


def _rows(study: optuna.Study, settings: Settings, sweep: Sweep, seed: int) -> Iterator[dict[str, Any]]:
    for trial in _ended(study):
        complete = trial.state == TrialState.COMPLETE
        folder = Layout(changed(settings, trial.params)).model(seed) if complete else ""
        seconds = trial.duration.total_seconds() if trial.duration else float("nan")
        yield {
            "trial": trial.number,
            "state": "trained" if complete else "unfit",
            sweep.metric.name: trial.value if complete else float("nan"),
            **{key: trial.params.get(key) for key in sweep.parameters},
            "seconds": round(seconds, 1),
            "model": str(folder),
        }


def _write_table(study: optuna.Study, settings: Settings, sweep: Sweep, seed: int, folder: Path) -> None:
    """The trials so far, the best first."""
    table = pd.DataFrame(_rows(study, settings, sweep, seed))
    ascending = sweep.metric.goal == "minimize"
    table = table.sort_values(sweep.metric.name, ascending=ascending, kind="stable")
    table.to_csv(folder / "trials.csv", index=False, float_format="%.6g")


def _so_far(study: optuna.Study, count: int) -> str:
    """Best score, and the hours that the remaining trials will take this process alone."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return "no trial yet"
    seconds = statistics.median(trial.duration.total_seconds() for trial in complete if trial.duration)
    left = max(0, count - len(_ended(study))) * seconds / 3600
    return f"best {study.best_value:.4f}, {left:.1f} h left for one process"


def _write_best(study: optuna.Study, settings: Settings, sweep: Sweep, folder: Path) -> Path:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        expected, remedy = "a trial that trains", "see the warnings above, and correct values that do not fit together"
        raise InputError(f"sweep {folder.name}", "no trial succeeded", expected, remedy)
    best = changed(settings, study.best_params)
    number, score = study.best_trial.number, f"{sweep.metric.name} {study.best_value:.4f}"
    text = f"# Best of {len(complete)} trials: {score}, trial {number}.\n"
    (folder / "best.yaml").write_text(text + yaml.safe_dump(best.model_dump(mode="json"), sort_keys=False))
    return folder / "best.yaml"
