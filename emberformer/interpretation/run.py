"""The interpretation of one trained network on one data set: every table and picture, whole or not at all."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from emberformer.atomic import replacing
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.evaluate.rows import write
from emberformer.forecast_store import open_forecasts
from emberformer.interpretation.attention import temporal_attention
from emberformer.interpretation.attribution import attributions
from emberformer.interpretation.components import feature_images
from emberformer.interpretation.drawing import (
    Shown,
    draw_attention,
    draw_attribution,
    draw_features,
    draw_importance,
    write_list,
)
from emberformer.interpretation.failures import DRAWN, KINDS, in_common, step_errors, worst_steps
from emberformer.interpretation.importance import on_one_ground, permutation_importance
from emberformer.interpretation.subject import Subject, open_subject
from emberformer.layout import Layout
from emberformer.provenance import provenance
from emberformer.report.cases import Choice, read_case
from emberformer.report.maps import draw_case, fuel_colours
from emberformer.settings import EvaluationSettings
from emberformer.training_settings import Phase

log = logging.getLogger(__name__)
LEFT_OUT = {
    "attention": "the network does not weigh its past",
    "attribution": "the network takes nothing that can be changed by degrees",
    "importance": "no step has a step of another fire with as many frames seen",
    "features": "the network takes no features of a backbone",
}


def interpret(
    layout: Layout, variant: str | None, phase: Phase, seed: int, dataset: str, split: str, device: str = "auto"
) -> Path:
    """Write what a trained network looks at, and where its forecasts fail.

    Into `Layout.interpretation`: attention.csv, attribution.csv, importance.csv, components.csv (shares of variance),
    failures.csv (every step and its errors) and in_common.csv; the pictures, listed in pictures.json; and about.json,
    which names the network, the fires, and what was left out because it does not apply.

    Args:
        layout: paths of the configuration, whose forecasts have been evaluated.
        variant: name of a variant; None: the configuration itself.
        phase: of the model.
        seed: of the model.
        dataset: name of the data set.
        split: fires to look at, "validation" or "test".
        device: auto, cpu, cuda or cuda:N.

    Returns:
        The folder.

    Raises:
        InputError: the configuration has no such phase; the checkpoint, the forecasts or their threshold is missing.
    """
    trained = next((one for one in layout.trained.values() if (one.variant, one.phase) == (variant, phase)), None)
    if trained is None:
        raise InputError("--phase", phase, " or ".join(layout.variant(variant).phases), "name one of its phases")
    method = f"{trained.name}-seed-{seed}"
    threshold = read_threshold(layout, method)
    subject = open_subject(trained.layout, seed, phase, dataset, split, device)
    folder = layout.interpretation(method, dataset)
    with replacing(folder) as partial:
        pictures, missing = _network(subject, layout.settings.evaluation, partial)
        pictures += _failures(layout, method, dataset, split, threshold, partial)
        write_list(pictures, partial)
        about = {"method": method, "dataset": dataset, "split": split, "steps": len(subject.steps),
                 "threshold": threshold, "left_out": missing, "provenance": provenance()}  # fmt: skip
        (partial / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    return folder


def read_threshold(layout: Layout, method: str) -> float:
    """The threshold that the evaluation chose for a method on the validation fires.

    Raises:
        InputError: there is none.
    """
    path, remedy = layout.scores / "thresholds.json", "run `emberformer evaluate` with the same configuration"
    try:
        threshold = json.loads(path.read_text())[method]["threshold"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(path, f"no threshold of {method} ({error!r})", "one for each method", remedy) from error
    if threshold is None:
        raise InputError(path, f"{method} has no threshold", "validation fires in which something burns", remedy)
    return float(threshold)


def _network(subject: Subject, settings: EvaluationSettings, folder: Path) -> tuple[list[Shown], dict[str, str]]:
    """Tables and pictures of the network itself, and the parts that do not apply with the reason."""
    attention = temporal_attention(subject)
    attribution = attributions(subject)
    importance = permutation_importance(subject, settings.replicates, settings.seed)
    images, shares = feature_images(subject)
    tables = {"attention": attention, "attribution": attribution, "importance": importance, "components": shares}
    for name, table in tables.items():
        write(table, folder / f"{name}.csv")
    drawn = {
        "importance": draw_importance(importance, folder),
        "attention": draw_attention(attention, folder),
        "attribution": draw_attribution(attribution, folder),
        "features": draw_features(images, folder),
    }
    missing = {part: LEFT_OUT[part] for part, pictures in drawn.items() if not pictures}
    if on_one_ground(subject):
        missing["importance of the terrain"] = "all fires burn on the same ground"
    for part, reason in missing.items():
        log.info("no %s: %s", part, reason)
    return [picture for pictures in drawn.values() for picture in pictures], missing


def _failures(layout: Layout, method: str, dataset: str, split: str, threshold: float, folder: Path) -> list[Shown]:
    """Tables of errors, and maps of the worst steps."""
    fires, forecasts = open_fires(layout.fires(dataset)), open_forecasts(layout.forecasts(method, dataset))
    errors = step_errors(forecasts, fires, split, threshold)
    write(errors, folder / "failures.csv")
    write(in_common(errors), folder / "in_common.csv")
    cases = {}
    for kind in KINDS:
        worst = worst_steps(errors, kind, DRAWN)
        for rank, (fire_id, step) in enumerate(zip(worst.fire_id, worst.step, strict=True), 1):
            choice = Choice(KINDS[kind].capitalize(), dataset, fire_id, float("nan"))
            cases[kind, rank] = read_case(choice, fires, forecasts, threshold, split, int(step))
    colours = fuel_colours(list(cases.values()))
    shown = []
    for (kind, rank), case in cases.items():
        row = errors[(errors.fire_id == case.choice.fire_id) & (errors.step == case.step)].iloc[0]
        heading = f"{KINDS[kind].capitalize()}, number {rank}: {case.choice.fire_id}, from frame {case.step}"
        heading += f", {row[kind]:,.0f} ha"
        for place, panel in enumerate(draw_case(case, colours)):
            file = f"failure_{kind.removesuffix('_ha')}_{rank}_{place + 1}.png"
            (folder / file).write_bytes(panel.picture.content)
            keys = [(key.colour, key.text) for key in panel.keys]
            shown.append(Shown("failures", heading, file, panel.title, panel.picture.alt, keys))
    return shown
