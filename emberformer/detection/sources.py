"""What a configuration's detector is trained on and asked about: windows of fires, or camera images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from emberformer.checkpoint import open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import list_steps
from emberformer.detection.boxes import to_shares
from emberformer.detection.cached_tail import CachedTail, HiddenFireSamples
from emberformer.detection.camera_images import CameraSet, CameraSource, list_images
from emberformer.detection.camera_samples import CameraSamples
from emberformer.detection.checkpoint import detection_settings
from emberformer.detection.fire_objects import ClusterRule
from emberformer.detection.fire_samples import FireObjectSamples
from emberformer.detection.found import Objects
from emberformer.detection.image_store import ImageStore
from emberformer.detection.image_writing import write_image_store
from emberformer.detection.live_tail import LiveCameraSamples, LiveTail
from emberformer.detection.pixel_views import ViewRule
from emberformer.detection.tail import Tail
from emberformer.detection.view_drawing import ViewDrawing
from emberformer.detection_settings import CameraSettings, DetectionSettings, FireObjectSettings
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.run import decided_by
from emberformer.settings import Split, expand

Samples = FireObjectSamples | CameraSamples
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Source:
    """Opened stores, and what is remembered of them.

    Args:
        of: settings of the detector.
        data: digests of what a detector is made from.
        features: name of the feature store of each data set.
        landscapes: of the fires; none with camera images.
        split: data set -> fire -> split.
        images: of cameras; None with fires.
        seed: of windows and views.
    """

    of: DetectionSettings
    data: list[str]
    features: Mapping[str, str]
    landscapes: list[Landscape]
    split: dict[str, dict[str, str]]
    images: ImageStore | None
    seed: int

    def training(self) -> Samples:
        """Windows in random views."""
        if self.images is not None:
            return CameraSamples(self.images, "train", self.images.views > 1, self.seed)
        of = self.of.fires
        steps = list_steps(self.landscapes, self.split, "train", of.steps_per_fire)
        rule = cluster_rule(of)
        return FireObjectSamples(self.landscapes, steps, rule, of.horizons, of.cells, of.crop, of.flip, self.seed)

    def whole(self, split: Split, per_fire: int | None = None) -> Samples:
        """Whole images or rasters of a split, as they are."""
        if self.images is not None:
            return CameraSamples(self.images, split)
        steps = list_steps(self.landscapes, self.split, split, per_fire)
        of = self.of.fires
        return FireObjectSamples(self.landscapes, steps, cluster_rule(of), of.horizons, of.cells)

    def validation(self) -> Samples:
        """What chooses the epoch."""
        return self.whole("validation", self.of.fires.validation_steps_per_fire)

    def begin_tail(self, layout: Layout, samples: Samples) -> Tail | None:
        """The tail before its first step; None: the backbone is frozen.

        Raises:
            InputError: as `Tail`, or stores of other weights.
        """
        features, of = layout.settings.features, self.of.tail
        if of is None:
            return None
        if isinstance(samples, CameraSamples):
            return LiveTail(features, of, str(samples.store.identity["weights_sha256"]), layout.config)
        encodings, weights = encodings_of(self.landscapes), backbone_hash(layout, self.landscapes)
        return CachedTail(features, of, encodings, weights, samples.tokens, layout.config)

    def for_tail(self, samples: Samples, tail: Tail | None) -> Samples:
        """The same windows with what a tail makes their features of: hidden states of fires, pixels of cameras.

        Raises:
            InputError: fires of several sizes, a store without the states, or other images than those of the store.
        """
        if tail is None:
            return samples
        if isinstance(samples, CameraSamples):
            assert self.of.cameras is not None, "they are of its sets"
            return LiveCameraSamples(samples, view_drawing(self.of.cameras, samples.store))
        return HiddenFireSamples(samples, tail.block)


def open_source(layout: Layout, seed: int = 0) -> Source:
    """The stores of a configuration.

    Raises:
        InputError: they are not there, or do not belong together; the fires leak; or the camera sets have changed since
            their store was written.
    """
    settings, of = layout.settings, detection_settings(layout.settings, layout.config)
    key = features_key(settings.features)
    if of.cameras is not None:
        images = ImageStore(layout.camera_images)
        if all(one.annotations.exists() and one.images.exists() for one in camera_sources(of.cameras)):
            list_camera_images(of.cameras, images)  # before hours of training: the store's split may be another one
        return Source(of, [str(images.identity["entries_sha256"])], {"cameras": key}, [], {}, images, seed)
    split = read_split(layout.split, layout.settings.split.leakage)
    landscapes = open_landscapes(layout, Sizes.of(layout, split))
    data = decided_by(landscapes, layout)
    return Source(of, data, dict.fromkeys(settings.datasets, key), landscapes, split, None, seed)


def write_images(layout: Layout, device: str = "auto") -> None:
    """Extract the features of the configuration's camera images.

    Raises:
        InputError: it has none, or a set or an image cannot be read.
    """
    of = detection_settings(layout.settings, layout.config).cameras
    if of is None:
        raise InputError(
            f"{layout.config}: detection.cameras", "none", "sets of camera images", "add `detection.cameras.sets`"
        )
    write_image_store(
        layout.camera_images, camera_sources(of), layout.settings.features, of.side, views=of.views,
        rule=view_rule(of), categories=of.categories, shares=split_shares(of), seed=of.seed, device=device,
    )  # fmt: skip


def list_camera_images(of: CameraSettings, store: ImageStore) -> CameraSet:
    """Images of a store, from their files.

    Raises:
        InputError: a set cannot be read, or it has changed since the store was written.
    """
    told = list_images(camera_sources(of), of.categories, split_shares(of), of.seed)
    if told.entries_sha256() != store.identity["entries_sha256"]:
        raise InputError(
            store.path, "features of other images, boxes or splits than the camera sets have now",
            "a store of these sets", "run `emberformer detection images` again",
        )  # fmt: skip
    return told


def view_drawing(of: CameraSettings, store: ImageStore) -> ViewDrawing:
    """Views of the images of a store, from their files.

    Raises:
        InputError: as `list_camera_images`.
    """
    return ViewDrawing(list_camera_images(of, store).images, of.side, view_rule(of), of.seed)


def camera_sources(of: CameraSettings) -> list[CameraSource]:
    """Camera sets as the settings name them."""
    return [CameraSource(expand(one.annotations), expand(one.images), one.split, one.group) for one in of.sets]


def split_shares(of: CameraSettings) -> dict[str, float]:
    """Share of each split, where a set is divided."""
    return {"train": of.train, "validation": of.validation, "test": of.test}


def view_rule(of: CameraSettings) -> ViewRule:
    """Views as the settings ask for them."""
    return ViewRule(of.mosaic, of.zoom, of.mirror, of.paste, of.pasted, of.jitter)


def cluster_rule(of: FireObjectSettings) -> ClusterRule:
    """What an object of a fire is, as the settings say."""
    return ClusterRule(of.connectivity, of.reach, of.spot_distance, of.least_front, of.least_spot)


def in_pixels(samples: Samples, index: int, shares: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """x0 y0 x1 y1 in pixels of the raster, or of the image as it was given, of boxes as shares of a window."""
    if isinstance(samples, CameraSamples):
        return samples.to_image(index, shares)
    return samples.window(index).to_raster(shares)


def told(samples: Samples, index: int) -> Objects:
    """Objects of a whole window in the same pixels."""
    if isinstance(samples, CameraSamples):
        objects, side = samples.told(index), samples.store.side
        return objects._replace(boxes=in_pixels(samples, index, to_shares(objects.boxes, (side, side))))
    objects = samples.objects(index)
    shares = to_shares(objects.boxes, samples.window(index).padded_size)
    return Objects.of(in_pixels(samples, index, shares), objects.labels)
