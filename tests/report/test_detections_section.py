"""The section on detection: means over seeds beside the rival, and what is said of spot fires."""

import pandas as pd
import pytest

from emberformer.errors import InputError
from emberformer.report.detections import read_detections
from tests.stores import tiny_experiment

SPOT_RECALL = {"detector-seed-0": 0.5, "detector-seed-1": 0.7}
AP = {"detector-seed-0": 0.2, "detector-seed-1": 0.4}


@pytest.fixture
def layout(tmp_path):
    _, layout = tiny_experiment(tmp_path, detection={})
    layout.detection.mkdir(parents=True)
    return layout


def write(layout, spots):
    rows = []
    for method in (*AP, "pieces of logistic"):
        ap = AP.get(method, 0.35)
        for windows in ("all", "next") if method in AP else ("next",):
            names = ["front_now", "spot_now"] if windows == "all" else ["front_next", "spot_next"]
            rows += [(method, windows, score, ap) for score in ("AP", "AP50", "AP75", "AP_small", f"AP50 {names[0]}")]
            rows += [(method, windows, score, None) for score in ("AP_medium", "AP_large", f"AP50 {names[1]}")]
            of_spots = {"told": spots, "recall": SPOT_RECALL.get(method), "distance_m": 120.0, "false": 0.1}
            rows += [(method, windows, f"{names[1]} {what}", value) for what, value in of_spots.items()]
    rows.append(("pieces of logistic", "valley", "threshold", 0.3))
    pd.DataFrame(rows, columns=["method", "windows", "score", "value"]).to_csv(
        layout.detection / "scores.csv", index=False
    )
    (layout.detection / "found.png").write_bytes(b"picture")


def test_means_of_seeds_stand_beside_the_rival(layout):
    write(layout, 4)
    section = read_detections(layout)
    assert section is not None
    assert list(section.tables) == [
        "All test windows, and all objects", "What comes within the next frame, on the frames that were also forecast"
    ]  # fmt: skip
    columns, rows = section.tables["What comes within the next frame, on the frames that were also forecast"]
    assert [column.heading for column in columns] == ["AP", "AP50", "AP75", "AP50, front next", "AP, small"]
    assert [(row.label, row.cells[0].text, row.cells[0].best, row.minor) for row in rows] == [
        ("detector", "0.300", False, False), ("detector, seed 0", "0.200", False, True),
        ("detector, seed 1", "0.400", False, True), ("pieces of logistic", "0.350", True, False),
    ]  # fmt: skip
    assert rows[0].cells[0].seeds == "seeds ±0.141"
    assert section.said == ["Of 4 spot now in the test 60 % are found, 120 m away on average."]
    assert section.pictures[0].content == b"picture"


def test_no_spots_are_said_to_be_none(layout):
    write(layout, 0)
    section = read_detections(layout)
    assert section is not None
    assert section.said == ["There is no spot now in the test."]


def test_scores_that_are_not_there_are_named(layout):
    with pytest.raises(InputError, match="snakemake detection"):
        read_detections(layout)
