"""The interpretation as the report shows it: pictures, what failures have in common, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emberformer.layout import Layout
from emberformer.report.figures import Picture, data_uri
from emberformer.report.maps import Key, Panel
from emberformer.report.scoreboard import method_label
from emberformer.report.verdict import number

PARTS = {  # part -> heading, and what its pictures say
    "importance": (
        "Which inputs matter",
        "Each input is replaced by that of another fire with as many frames seen: a terrain band, the wind, or the "
        "past frames (the newest burned area always stays). The score that is lost is what the network owes to it. An "
        "interval that includes zero: no loss is shown. Inputs that say the same can stand in for each other and then "
        "look idle.",
    ),
    "attention": (
        "How far back it looks",
        "The temporal part weighs the frames of the past for every patch; the weights add up to one. Above the dotted "
        "line a frame gets more than an equal share. “All layers” is attention rollout: what reaches the forecast "
        "through all layers. Attention shows where information is taken from, not what follows from it.",
    ),
    "attribution": (
        "What the forecast area is owed to",
        "Integrated gradients divide the forecast area among the inputs, against an uneventful fire: no wind, even "
        "ground, and a past in which every frame was as the newest is. Right of zero an input adds new fire. Bars: "
        "mean size over steps, whichever the sign.",
    ),
    "features": (
        "What the features tell apart",
        "The features of the patches as colours (their first three principal components): patches of one colour look "
        "alike to the backbone. Frames share their colours; each terrain band has its own.",
    ),
    "failures": (
        "Where it fails",
        "The steps with the largest missed area, false-alarm area and calibration error (the area by which forecast "
        "probability and observed frequency differ). Where much burns, much can be missed: compare with growth in the "
        "table.",
    ),
}
PROPERTIES = {
    "frames_seen": ("frames seen", 1),
    "fire_size_ha": ("size of the fire, ha", 0),
    "growth_ha": ("growth in the step, ha", 0),
    "wind_speed_m_s": ("wind, m/s", 1),
    "slope_deg": ("slope about the fire, degrees", 1),
    "fuel_changes": ("pixels beside other fuel, %", 1),
    "unburnable_share": ("unburnable ground about the fire, %", 1),
}
KINDS = {"missed_ha": "missed", "false_alarm_ha": "false alarms", "calibration_ha": "calibration"}


class CommonRow(NamedTuple):
    """A property: its mean over all steps, then over the failures of each kind; all as text."""

    name: str
    everywhere: str
    failures: list[str]


@dataclass(frozen=True)
class Part:
    """One part of an interpretation: pictures beside each other, and groups of maps under headings of their own."""

    heading: str
    text: str
    pictures: list[Picture]
    groups: dict[str, list[Panel]]
    common: list[CommonRow]


@dataclass(frozen=True)
class Interpretation:
    """What is known of one data set."""

    dataset: str
    about: str
    parts: list[Part]


def read_interpretations(layout: Layout) -> tuple[list[Interpretation], list[str]]:
    """The interpretation of the network that is looked into, of each data set, and a line for all that is missing."""
    found, missing = [], []
    method = layout.interpreted.first
    for dataset in layout.settings.tested:
        folder = layout.interpretation(method, dataset)
        try:
            about = json.loads((folder / "about.json").read_text())
            pictures = json.loads((folder / "pictures.json").read_text())
            parts = [_part(part, pictures, folder) for part in PARTS if any(p["part"] == part for p in pictures)]
        except (OSError, ValueError, KeyError):
            missing.append(f"No interpretation of {method_label(method)} on {dataset}: run `emberformer interpret`.")
            continue
        text = f"{method_label(method)} on the {about['split']} fires of {dataset}"
        found.append(Interpretation(dataset, text, parts))
        missing += [f"{dataset}: no {part}, because {reason}." for part, reason in about["left_out"].items()]
    return found, missing


def _part(part: str, pictures: list[Mapping], folder: Path) -> Part:
    plain: list[Picture] = []
    groups: dict[str, list[Panel]] = {}
    for entry in (entry for entry in pictures if entry["part"] == part):
        uri = data_uri((folder / entry["file"]).read_bytes(), "image/png")
        if not entry["heading"]:
            plain.append(Picture(uri, entry["alt"], entry["caption"]))
        else:
            keys = [Key(colour, text) for colour, text in entry["keys"]]
            panel = Panel(entry["caption"], Picture(uri, entry["alt"], ""), keys)
            groups.setdefault(entry["heading"], []).append(panel)
    first = {heading: panels for heading, panels in groups.items() if ", number 1:" in heading}  # the rest are files
    common = _common(pd.read_csv(folder / "in_common.csv")) if part == "failures" else []
    return Part(*PARTS[part], plain, first, common)


def _common(table: pd.DataFrame) -> list[CommonRow]:
    rows = []
    for name, (label, digits) in PROPERTIES.items():
        of = table[table.property == name].set_index("kind")
        if of.empty or not np.isfinite(of["all"].iloc[0]):
            continue
        scale = 100 if "%" in label else 1
        failures = [number(scale * float(of.failures[kind]), digits) for kind in KINDS]
        rows.append(CommonRow(label, number(scale * float(of["all"].iloc[0]), digits), failures))
    of = table[table.property == "fuel"].set_index("kind")
    if len(of) == len(KINDS):
        shares = [f"{of.value[k]:g}: {100 * of.failures[k]:.0f} % (all {100 * of['all'][k]:.0f} %)" for k in KINDS]
        rows.append(CommonRow("most common fuel among the failures", "", shares))
    return rows
