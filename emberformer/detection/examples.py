"""Examples for people to look at: some test windows with the boxes that were told and those that were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from emberformer.detection.camera_images import CameraImage, read_image
from emberformer.detection.camera_samples import CameraSamples
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.found import Detections, Objects
from emberformer.detection.pictures import Panel, fire_pixels
from emberformer.sampling import evenly_spaced

WINDOWS = 3  # in a row
AROUND = 15  # pixels of ground that are shown on each side of a fire


def fire_panels(samples: FireObjectSamples, told: Sequence[Objects], found: Sequence[Detections]) -> Iterator[Panel]:
    """A row of frames for each horizon: what is new in the newest frame, and what is one frame later.

    Args:
        samples: whole windows.
        told: objects of each in pixels of the raster.
        found: detections in each.
    """
    for horizon in samples.horizons:
        labels = [n for n, name in enumerate(samples.categories) if name.endswith(horizon)]
        of_horizon = [of.chosen(np.isin(of.labels, labels)) for of in told]
        for index in _some(of_horizon):
            window = samples.window(index)
            landscape, number = window.landscape, window.step + (horizon == "next")
            first = int(landscape.row_start[window.fire])
            masks = landscape.fires.burned[first + max(number - 1, 0) : first + number + 1].values
            name = str(landscape.fires.fire_id.values[window.fire])
            own = np.isin(found[index].labels, labels)
            panel = Panel(
                fire_pixels(masks[-1], masks[0] if number else None),
                of_horizon[index],
                Detections(*(of[own] for of in found[index])),
                f"{landscape.name}, {name}, {'after' if horizon == 'next' else 'in'} frame {window.step}",
            )
            yield _about_the_fire(panel, masks[-1] == 1)


def _about_the_fire(panel: Panel, burned: Bool[np.ndarray, "y x"]) -> Panel:
    """The part of a panel in which something burns or has burned, with some ground around it."""
    places = np.argwhere(burned)
    if not len(places):
        return panel
    low, high = np.maximum(places.min(0) - AROUND, 0), places.max(0) + 1 + AROUND
    corner = np.tile(low[::-1], 2)
    return panel._replace(
        pixels=panel.pixels[low[0] : high[0], low[1] : high[1]],
        told=panel.told._replace(boxes=panel.told.boxes - corner),
        found=panel.found._replace(boxes=panel.found.boxes - corner),
    )


def camera_panels(
    samples: CameraSamples, images: Sequence[CameraImage], told: Sequence[Objects], found: Sequence[Detections]
) -> Iterator[Panel]:
    """Images as they were given.

    Args:
        samples: of a split.
        images: of the whole store, in its order.
        told: objects of each sample in pixels of its image.
        found: detections in each.
    """
    for index in _some(told, 2 * WINDOWS):
        image = images[int(samples.images[index])]
        yield Panel(read_image(image), told[index], found[index], image.told.file_name)


def _some(told: Sequence[Objects], most: int = WINDOWS) -> list[int]:
    """Windows with objects (any, where none has one), evenly spaced among all of them."""
    shown = [index for index, of in enumerate(told) if len(of.labels)] or list(range(len(told)))
    return [shown[place] for place in evenly_spaced(len(shown), most)]
