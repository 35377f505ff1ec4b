"""Examples of what was found: each horizon has its frames, and boxes stay where they are if a part is shown."""

from typing import cast

import numpy as np
import pytest

from emberformer.checkpoint import open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import Step
from emberformer.detection import examples
from emberformer.detection.examples import fire_panels
from emberformer.detection.fire_objects import ClusterRule
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.found import Detections, Objects
from emberformer.detection.pictures import fire_pixels
from emberformer.detection.samples import DetectionSamples
from emberformer.detection.sources import told
from emberformer.network_sizes import Sizes
from tests.stores import prepare, tiny_experiment


@pytest.mark.parametrize("window", [None, 28])
def test_boxes_lie_about_what_is_new_in_the_frame_of_their_horizon(tmp_path, monkeypatch, window):
    monkeypatch.setattr(examples, "AROUND", 2)
    settings, layout = tiny_experiment(tmp_path, {"tiny": (42, 70)}, detection={}, features={"window": window})
    prepare(settings, layout)
    landscapes = open_landscapes(layout, Sizes.of(layout, read_split(layout.split)))
    steps = [Step(0, fire, step) for fire in range(3) for step in range(2)]
    samples = FireObjectSamples(landscapes, steps, ClusterRule(reach=1, least_front=1))
    objects: list[Objects] = [told(samples, index) for index in range(len(cast(DetectionSamples, samples)))]
    found = [Detections(of.boxes, of.labels, np.ones(len(of.labels))) for of in objects]
    panels = list(fire_panels(samples, objects, found))
    assert [panel.title.split(", ")[2].split()[0] for panel in panels] == ["in"] * 3 + ["after"] * 3
    new = fire_pixels(np.ones((1, 1), np.uint8), None)[0, 0]
    assert {panel.pixels.shape[:2] for panel in panels} != {(42, 70)}
    for panel in panels:
        places = np.argwhere((panel.pixels == new).all(2))
        assert len(places)
        inside = np.zeros(len(places), bool)
        for x0, y0, x1, y1 in panel.told.boxes.round().astype(int).tolist():
            within = ((places >= [y0, x0]) & (places < [y1, x1])).all(1)
            assert [*places[within].min(0), *places[within].max(0)] == [y0, x0, y1 - 1, x1 - 1]  # the box is tight
            inside |= within
        assert window or inside.all()  # what is new beyond a window has no box
        assert np.array_equal(panel.told.boxes, panel.found.boxes)
        assert set(panel.told.labels) <= ({0, 1} if ", in " in panel.title else {2, 3})
