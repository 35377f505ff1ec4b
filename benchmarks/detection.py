"""`python -m benchmarks.detection`: a detector of made-up camera images, and what asking less of it costs and saves.

A small detector learns flames and smoke (`benchmarks.camera_scenes`) on one CPU thread: COCO's average precision on 200
further images, beside the processor seconds of the training. Then every way of asking less (`AskingSettings`) is timed
in turns with asking for all, and its average precision told. With `--compare` further detectors are trained that differ
in one setting. Everything is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.camera_scenes import CameraScenes, in_pixels
from benchmarks.ratios import interleaved
from emberformer.data_settings import DeepCrownSettings
from emberformer.detection.asking import Asking
from emberformer.detection.checkpoint import load_detector
from emberformer.detection.coco_metrics import coco_scores
from emberformer.detection.detector import FireDetector
from emberformer.detection.found import Detections, Objects
from emberformer.detection.training import fit_detector
from emberformer.detection_settings import AskingSettings, DetectionSettings
from emberformer.settings import Settings
from emberformer.training_settings import LoggingSettings

IMAGES = (600, 60, 200)  # for training, validation and test
AT_ONCE, REPEATS = 50, 8
SETTINGS: dict[str, Any] = {
    "preset": "small", "d_model": 64, "queries": 30, "groups": 3, "batch_size": 16, "epochs": 12, "learning_rate": 1e-3
}  # fmt: skip
ASKED: dict[str, dict[str, Any]] = {
    "half of the queries": {"queries": 15},
    "queries by the scores": {"adaptive": 3.0},
    "two layers of three": {"layers": 2},
    "until it settles": {"settled": 0.1},
    "half of the queries pass a layer": {"keep": 0.5},
    "values at once": {"values_at_once": True},
}
COMPARED: dict[str, dict[str, Any]] = {
    "standard decoder": {"decoder": "standard"},
    "one scale": {"scales": [1.0]},
    "no auxiliary losses": {"loss": {"auxiliary": False}},
    "learned places": {"two_stage": False},
    "one group": {"groups": 1},
    "patches told": {"loss": {"patches": 1.0}},
    "boxes refined": {"refinement": True},
    "heads by level": {"level_heads": True},
    "CutMix": {"mixing": {"cutmix": 0.5}},
    "MixUp": {"mixing": {"mixup": 0.5}},
    "curriculum": {"curriculum": {"windows": 0.4, "queries": 10, "simple_matching": True}},
    "bfloat16": {"precision": "bf16-mixed"},
}


def measure_detector(compared: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """All figures."""
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    begin = time.process_time()
    training, validation, test = (CameraScenes(number, part) for part, number in enumerate(IMAGES))
    figures: dict[str, Any] = {"seconds_of_features": time.process_time() - begin}
    detector, figures["as_it_is"] = trained({}, training, validation, test, seed)
    figures["asked_for_less"] = {name: asked(detector, test, options) for name, options in ASKED.items()}
    figures["compared"] = {
        name: trained(changes, training, validation, test, seed)[1] for name, changes in compared.items()
    }
    return figures


def trained(
    changes: dict[str, Any], training: CameraScenes, validation: CameraScenes, test: CameraScenes, seed: int
) -> tuple[FireDetector, dict[str, float]]:
    """A detector, its scores, and processor seconds of its training."""
    of = DetectionSettings.model_validate(SETTINGS | changes)
    source = DeepCrownSettings.model_validate(
        {"root": ".", "minutes_per_frame": 30, "bands": {"none": {"kind": "continuous"}}}
    )
    settings = Settings(
        name="cameras", datasets={"none": source}, detection=of, logging=LoggingSettings(wandb="disabled")
    )
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        path = fit_detector(settings, Path(folder), training, validation, ["made up"], {}, seed, "cpu", 1)
        seconds = time.process_time() - begin
        detector = load_detector(path).detector
    return detector, {"seconds_of_training": seconds, **scores(Asking(detector, AskingSettings()), test)}


def asked(detector: FireDetector, test: CameraScenes, options: dict[str, Any]) -> dict[str, float]:
    """Time over that of asking for all, with its interval, and the scores."""
    batch = test.__getitems__(list(range(AT_ONCE)))
    less, everything = (Asking(detector, AskingSettings(**one)) for one in (options, {}))
    ratio = interleaved(
        partial(less, batch.features, batch.valid),
        partial(everything, batch.features, batch.valid),
        REPEATS,
        time.process_time,
    )
    return {"time": ratio.ratio, "low": ratio.low, "high": ratio.high, **scores(less, test)}


def scores(asking: Asking, test: CameraScenes) -> dict[str, float]:
    """COCO's AP and AP50 of the test images."""
    told = [Objects.of(boxes, labels) for boxes, labels in zip(test.boxes, test.labels, strict=True)]
    found = []
    for first in range(0, len(test), AT_ONCE):
        batch = test.__getitems__(list(range(first, min(first + AT_ONCE, len(test)))))
        for of in asking(batch.features, batch.valid):
            boxes = in_pixels(of.boxes).double().numpy()
            found.append(Detections(boxes, of.labels.numpy(), of.scores.double().numpy()))
    all_scores = coco_scores(told, found, test.categories)
    return {name: all_scores[name] for name in ("AP", "AP50", "AP75")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(COMPARED)}; or 'all'")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    names = list(COMPARED) if told.compare == ["all"] else told.compare
    print(
        json.dumps(
            measure_detector({name: COMPARED[name] for name in names}, told.seed), indent=1, default=np.ndarray.tolist
        )
    )


if __name__ == "__main__":
    main()
