"""Scores of what detectors found in the test, beside a rival that needs no boxes to learn from.

COCO's scores of all categories; of spot fires how many are found and how far away; and for what comes next the same
scores of the connected pieces of a thresholded forecast, on the frames that both have.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emberformer.atomic import replacing_file
from emberformer.detection.boxes import from_corner_and_size
from emberformer.detection.checkpoint import detection_settings
from emberformer.detection.coco_metrics import coco_scores, spot_scores
from emberformer.detection.examples import camera_panels, fire_panels
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.forecast_baseline import CATEGORIES, ForecastFrame, forecast_baseline
from emberformer.detection.found import Detections, Objects
from emberformer.detection.pictures import write_panels
from emberformer.detection.sources import Samples, cluster_rule, list_camera_images, open_source, told
from emberformer.detection_settings import DetectionSettings
from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.layout import Layout

ROW = ("method", "windows", "score", "value")
EXAMPLES = "found.png"
Frame = tuple[str, str, int]  # data set, fire, step


def evaluate_detectors(layout: Layout) -> Path:
    """Write the table of scores, a row for each method, set of windows and score, and beside it a picture of examples.

    Raises:
        InputError: what a detector found, or the rival's forecast, is not there or is of other windows; or a camera
            image for the picture cannot be read any more.
    """
    of = detection_settings(layout.settings, layout.config)
    samples = open_source(layout).whole("test")
    found = {
        f"detector-seed-{seed}": read_results(layout.detections(seed, "test"), len(samples))
        for seed in layout.settings.training.seeds
    }
    objects = [told(samples, n) for n in range(len(samples))]
    rows = list(_scored("all", found, objects, samples, of))
    if isinstance(samples, FireObjectSamples) and (rival := layout.detection_rival) is not None:
        rows += _beside_rival(layout, rival, samples, found, of)
    path = layout.detection / "scores.csv"
    with replacing_file(path) as partial, open(partial, "w", newline="") as file:
        csv.writer(file).writerows([ROW, *rows])
    first = next(iter(found.values()))
    if isinstance(samples, FireObjectSamples):
        panels = list(fire_panels(samples, objects, first))
    else:
        assert of.cameras is not None, "the samples are of cameras"
        panels = list(camera_panels(samples, list_camera_images(of.cameras, samples.store).images, objects, first))
    write_panels(layout.detection / EXAMPLES, panels, samples.categories)
    return path


def read_results(path: Path, windows: int) -> list[Detections]:
    """Detections of each window of a COCO results file, whose images are numbered from 1.

    Raises:
        InputError: there is none, or it is of other windows.
    """
    try:
        rows = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), "a COCO results file", "run `emberformer detection detect`") from error
    of_window: list[list[dict]] = [[] for _ in range(windows)]
    for row in rows:
        if not 1 <= row["image_id"] <= windows:
            raise InputError(path, f"image {row['image_id']}", f"images 1 to {windows}", "detect again")
        of_window[row["image_id"] - 1].append(row)
    found = []
    for own in of_window:
        boxes = from_corner_and_size(np.array([row["bbox"] for row in own], float).reshape(-1, 4))
        labels = np.array([row["category_id"] - 1 for row in own], np.int64)
        found.append(Detections(boxes, labels, np.array([row["score"] for row in own], float)))
    return found


def _scored(
    windows: str,
    found: dict[str, list[Detections]],
    objects: Sequence[Objects],
    samples: Samples,
    of: DetectionSettings,
) -> Iterator[tuple]:
    cells = []
    if isinstance(samples, FireObjectSamples):
        of_landscape = [float(landscape.fires.attrs["cell_m"]) for landscape in samples.landscapes]
        cells = [of_landscape[step.landscape] for step in samples.steps]
    for method, own in found.items():
        for score, value in coco_scores(objects, own, samples.categories).items():
            yield method, windows, score, value
        if cells:
            yield from _spots(method, windows, own, objects, samples.categories, cells, of)


def _spots(
    method: str,
    windows: str,
    found: Sequence[Detections],
    objects: Sequence[Objects],
    categories: Sequence[str],
    cell_m: Sequence[float],
    of: DetectionSettings,
) -> Iterator[tuple]:
    for label, name in enumerate(categories):
        if name.startswith("spot"):
            scores = spot_scores(objects, found, label, cell_m, of.fires.spot_score, of.fires.spot_reach_m)
            for score, value in scores._asdict().items():
                yield method, windows, f"{name} {score}", value


def _beside_rival(
    layout: Layout, rival: str, samples: FireObjectSamples, found: dict[str, list[Detections]], of: DetectionSettings
) -> Iterator[tuple]:
    """Scores of what comes next, of the rival and of the detectors, on the frames that both have."""
    frames: dict[Frame, ForecastFrame] = {}
    pieces: dict[Frame, Detections] = {}
    cells: dict[Frame, float] = {}
    for landscape in samples.landscapes:
        if landscape.name not in layout.settings.tested:
            continue
        baseline = forecast_baseline(
            open_forecasts(layout.forecasts(rival, landscape.name)), landscape.fires, cluster_rule(of.fires)
        )
        yield f"pieces of {rival}", landscape.name, "threshold", baseline.threshold
        for frame, own in zip(baseline.frames, baseline.found, strict=True):
            key = (landscape.name, frame.fire_id, frame.init_step)
            frames[key], pieces[key] = frame, own
            cells[key] = float(landscape.fires.attrs["cell_m"])
    places = {_frame(samples, index): index for index in range(len(samples))}
    common = [key for key in frames if key in places]
    objects, metres = [frames[key].told for key in common], [cells[key] for key in common]
    compared = {f"pieces of {rival}": [pieces[key] for key in common]}
    for method, own in found.items():
        compared[method] = [_next_only(own[places[key]], samples.categories) for key in common]
    for method, own in compared.items():
        for score, value in coco_scores(objects, own, CATEGORIES).items():
            yield method, "next", score, value
        yield from _spots(method, "next", own, objects, CATEGORIES, metres, of)


def _frame(samples: FireObjectSamples, index: int) -> Frame:
    step = samples.steps[index]
    landscape = samples.landscapes[step.landscape]
    return landscape.name, str(landscape.fires.fire_id.values[step.fire]), step.step


def _next_only(found: Detections, categories: Sequence[str]) -> Detections:
    """Detections of what comes next, with the labels of the rival."""
    label = np.array([CATEGORIES.index(name) if name in CATEGORIES else -1 for name in categories])
    own = label[found.labels]
    return Detections(found.boxes[own >= 0], own[own >= 0], found.scores[own >= 0])
