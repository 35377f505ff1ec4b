"""A trained detector over windows: what it finds, in pixels, written for maps and for COCO's tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from emberformer.data.fires import fire_crs, fire_transform
from emberformer.detection.asking import Asking
from emberformer.detection.camera_samples import CameraSamples
from emberformer.detection.checkpoint import load_detector
from emberformer.detection.coco import Georeference
from emberformer.detection.detections_out import FoundInFrame, write_detections, write_results
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.found import Detections
from emberformer.detection.sources import Samples, in_pixels, open_source
from emberformer.detection.tail import Tail
from emberformer.errors import InputError
from emberformer.features.extraction import choose_device
from emberformer.layout import Layout
from emberformer.settings import Settings, Split

AT_ONCE = 16  # windows


def detections(asking: Asking, samples: Samples, tail: Tail | None = None) -> list[Detections]:
    """What a detector finds in each window.

    Args:
        asking: the detector, on its device.
        samples: whole windows.
        tail: blocks of the backbone that were trained with it, on its device.
    """
    device, found = next(asking.detector.parameters()).device, []
    for first in tqdm(range(0, len(samples), AT_ONCE), desc="detect", unit="batch", delay=1, mininterval=2):
        indices = list(range(first, min(first + AT_ONCE, len(samples))))
        batch = samples.__getitems__(indices).to(device)
        features = batch.features if tail is None else tail(batch)
        for index, answer in zip(indices, asking(features, batch.valid), strict=True):
            boxes = in_pixels(samples, index, answer.boxes.double().cpu().numpy())
            scores = answer.scores.double().cpu().numpy()
            found.append(Detections(boxes, answer.labels.cpu().numpy(), scores))
    return found


def write_found(
    settings: Settings, layout: Layout, seed: int, split: Split, device: str = "auto", path: Path | None = None
) -> Path:
    """Detect in a split and write a COCO results file, and of each data set of fires a GeoPackage beside it.

    Images of the results file are numbered from 1, in the order of the windows, and categories as the labels + 1. Rows
    of camera images tell their `file_name` too.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of the detector.
        split: whose windows.
        device: auto, cpu, cuda or cuda:N.
        path: results file; None: where the layout has it.

    Raises:
        InputError: the detector is not trained yet, or was trained for other features or categories.
    """
    trained = load_detector(layout.detector(seed) / "model.ckpt")
    source = open_source(layout)
    samples = source.whole(split)
    if (samples.channels, samples.categories) != (trained.channels, trained.categories):
        raise InputError(
            layout.detector(seed), f"{trained.channels} numbers a patch, {', '.join(trained.categories)}",
            f"{samples.channels}, {', '.join(samples.categories)}", "train the detector of this configuration",
        )  # fmt: skip
    assert settings.detection is not None, "open_source has looked"
    where, tail = choose_device(device), trained.tail
    samples = source.for_tail(samples, tail if tail is None else tail.to(where))
    with torch.inference_mode():
        found = detections(Asking(trained.detector.to(where), settings.detection.asking), samples, tail)
    path = path or layout.detections(seed, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(samples, FireObjectSamples):
        frames = [frame(samples, index, of_frame) for index, of_frame in enumerate(found)]
        for number, landscape in enumerate(samples.landscapes):
            own = [one for one, step in zip(frames, samples.steps, strict=True) if step.landscape == number]
            write_detections(path.with_name(f"{path.stem}-{landscape.name}.gpkg"), own, samples.categories)
    names = [samples.file_name(index) for index in range(len(samples))] if isinstance(samples, CameraSamples) else None
    write_results(path, found, names)
    return path


def frame(samples: FireObjectSamples, index: int, found: Detections) -> FoundInFrame:
    """What was found in a frame of a fire, with the time that each category is of."""
    window = samples.window(index)
    fires = window.landscape.fires
    fire_id = str(fires.fire_id.values[window.fire])
    now = fires.valid_time.values[window.row].astype("datetime64[s]")
    step = np.timedelta64(round(float(fires.attrs["seconds_per_frame"])), "s")
    times = np.array([now + step * horizon.endswith("next") for horizon in samples.categories])
    a, b, c, d, e, f = fire_transform(fires, fire_id)[:6]
    return FoundInFrame(fire_id, now, times, Georeference(fire_crs(fires, fire_id), (a, b, c, d, e, f)), found)
