"""Scores of detections: COCO's average precision and recall, and how many spot fires are found and how far away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from emberformer.detection.coco import CocoImage, CocoSet, coco_content, results_content
from emberformer.detection.found import Detections, Objects

# In the order in which COCO's summary gives them. AP is the mean over overlaps from 0.5 to 0.95; small, medium and
# large are boxes of up to 32 x 32, up to 96 x 96 and more pixels of the image or raster.
NAMES: tuple[str, ...] = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip
AT_50 = 0  # place of an overlap of 0.5
ALL_SIZES, MOST_FOUND = 0, -1


def coco_scores(told: Sequence[Objects], found: Sequence[Detections], categories: Sequence[str]) -> dict[str, float]:
    """COCO's scores of the detections of some images, by faster-coco-eval, which agrees with pycocotools.

    Args:
        told: objects of each image; areas are those of their boxes.
        found: detections of the same images, at most 100 of each image count.
        categories: names of the labels.

    Returns:
        `NAMES`, and for each category `AP category` and `AP50 category`; from 0 to 1, NaN where no object was told.
    """
    truth = COCO(truth_content(told, categories))
    evaluation: Any = COCOeval_faster(truth, truth.loadRes(results_content(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    scores = dict(zip(NAMES, map(float, evaluation.stats[: len(NAMES)]), strict=True))
    precision = evaluation.eval["precision"][:, :, :, ALL_SIZES, MOST_FOUND]  # overlap, recall, category
    for label, name in enumerate(categories):
        for score, of in (("AP", precision[:, :, label]), ("AP50", precision[AT_50, :, label])):
            scores[f"{score} {name}"] = float(of.mean()) if (of > -1).all() else -1.0
    return {name: score if score > -1 else float("nan") for name, score in scores.items()}


def truth_content(told: Sequence[Objects], categories: Sequence[str]) -> dict[str, Any]:
    """Objects of images 1, 2, ... as the content of a COCO file; ids of categories are label + 1."""
    images = tuple(CocoImage(number, str(number), 0, 0, objects) for number, objects in enumerate(told, 1))
    return coco_content(CocoSet(images, tuple(categories), tuple(range(1, len(categories) + 1))), {})


class SpotScores(NamedTuple):
    """How well spot fires are found.

    Args:
        told: number of spots.
        recall: share of them that are found; NaN without spots.
        distance_m: mean distance between the centres of found spots and their detections in m; NaN where none is found.
        false: detections that belong to no spot, a frame.
    """

    told: int
    recall: float
    distance_m: float
    false: float


def spot_scores(
    told: Sequence[Objects],
    found: Sequence[Detections],
    label: int,
    cell_m: Sequence[float],
    least_score: float,
    reach_m: float,
) -> SpotScores:
    """Recall and distance error of spots; box overlap says little of objects of a few pixels.

    A spot is found where a detection of its category has its centre within reach; each detection finds one spot, such
    that most spots are found, and of these assignments the one of the least sum of distances counts.

    Args:
        told: objects of each frame.
        found: detections of the same frames.
        label: category of the spots.
        cell_m: side of a pixel of each frame in m.
        least_score: of the detections that count.
        reach_m: distance in m.
    """
    spots, unmatched, distances = 0, 0, []
    for of_told, of_found, cell in zip(told, found, cell_m, strict=True):
        wanted = _centres(of_told.boxes[(of_told.labels == label) & ~of_told.crowd]) * cell
        given = _centres(of_found.boxes[(of_found.labels == label) & (of_found.scores >= least_score)]) * cell
        away = cdist(wanted, given)
        beyond = (len(wanted) + 1) * (reach_m + 1)  # dearer than any sum of distances within reach
        rows, columns = linear_sum_assignment(np.where(away <= reach_m, away, beyond))
        matched = away[rows, columns][away[rows, columns] <= reach_m]
        spots, unmatched = spots + len(wanted), unmatched + len(given) - len(matched)
        distances += matched.tolist()
    return SpotScores(
        spots,
        len(distances) / spots if spots else float("nan"),
        float(np.mean(distances)) if distances else float("nan"),
        unmatched / max(len(told), 1),
    )


def _centres(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 2"]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
