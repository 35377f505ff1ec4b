"""Images of camera sets: which there are, in which split, and their pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from emberformer.data.split import SPLITS, cut_groups
from emberformer.detection.coco import CocoImage, read_coco
from emberformer.errors import InputError

FOLDER = "folder"  # as a group: the folder in an image's name


@dataclass(frozen=True)
class CameraSource:
    """A COCO set on disk.

    Args:
        annotations: its JSON file.
        images: folder of its images.
        split: that all of it belongs to; None: it is divided.
        group: key of an image's entry that says what stays together when it is divided, such as `video_id` or
            `camera`, or `FOLDER`; equal values of one key are one group, in other sets too. None: every image by
            itself, which puts frames of one video on both sides.
    """

    annotations: Path
    images: Path
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class CameraImage:
    """An image that will be in an image store.

    Args:
        path: its file.
        told: its entry.
        group: what it stays together with, "" = nothing.
        split: that it belongs to.
    """

    path: Path
    told: CocoImage
    group: str
    split: str


@dataclass(frozen=True)
class CameraSet:
    """All images of some sources, in their order, with the names of their labels and what was left out."""

    images: tuple[CameraImage, ...]
    categories: tuple[str, ...]
    notes: tuple[str, ...]

    def entries_sha256(self) -> str:
        """Hash of what is told of the images, and of the sizes of their files."""
        entries = [
            [
                of.told.file_name,
                of.path.stat().st_size,
                of.split,
                of.group,
                *(values.tolist() for values in of.told.objects),
            ]
            for of in self.images
        ]
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def list_images(
    sources: Sequence[CameraSource], categories: Sequence[str] | None, shares: Mapping[str, float], seed: int
) -> CameraSet:
    """Images of some sources, divided where the sources do not say how.

    Groups are shuffled and cut by the shares of images, those of all divided sources together, so that a camera that is
    in two of them is on one side.

    Args:
        sources: COCO sets.
        categories: names of the labels; None: those of the first source.
        shares: of the splits; they add up to 1.
        seed: of the shuffle.

    Raises:
        InputError: a source that cannot be read, lacks a category or a group, or names an unknown split; a group of
            which a part is given to a split and a part is not, or is given to another.
    """
    images: list[tuple[CameraSource, CocoImage, str]] = []
    notes = []
    for source in sources:
        if source.split is not None and source.split not in SPLITS:
            raise InputError(
                f"split of {source.annotations}", repr(source.split), " or ".join(SPLITS), "name one of them"
            )
        coco = read_coco(source.annotations, source.images, categories)
        categories = coco.categories
        images += [(source, image, _group(source, image)) for image in coco.images]
        notes += [f"{source.annotations.name}: {note}" for note in coco.notes]
    if not images:
        raise InputError("camera sets", "no image", "at least one", "name sets with images")
    found = tuple(
        CameraImage(source.images / image.file_name, image, group, split)
        for (source, image, group), split in zip(images, _splits(images, shares, seed), strict=True)
    )
    return CameraSet(found, tuple(categories or ()), tuple(notes))


def _splits(images: Sequence[tuple[CameraSource, CocoImage, str]], shares: Mapping[str, float], seed: int) -> list[str]:
    """Split of each image: that of its source, or the one that its group is drawn into.

    Raises:
        InputError: a group that would be in several.
    """
    folders = list(dict.fromkeys(source.images for source, *_ in images))  # a folder's name says little without them
    groups = [_told_apart(source, group, folders) for source, _, group in images]
    given: dict[str, str | None] = {}
    for (source, _, group), key in zip(images, groups, strict=True):
        if key and given.setdefault(key, source.split) != source.split:
            told = " and ".join(f"split: {one or 'none given'}" for one in (given[key], source.split))
            raise InputError(
                f"{source.annotations}, group {group!r}", told, "one split of all of its images",
                "give all sets that show it the same split, or none; or leave `group` out where splits are given",
            )  # fmt: skip
    divided = [place for place, (source, *_) in enumerate(images) if source.split is None]
    drawn = dict(zip(divided, _divided([groups[place] for place in divided], shares, seed), strict=True))
    return [source.split or drawn[place] for place, (source, *_) in enumerate(images)]


def _told_apart(source: CameraSource, group: str, folders: Sequence[Path]) -> str:
    """A group by its value, by which they are sorted before they are drawn, and by whose value it is."""
    where = f"{folders.index(source.images)}/" if source.group == FOLDER else ""
    return f"{where}{group}\0{source.group}" if group else ""  # `camera` 3 is not `video_id` 3


def _group(source: CameraSource, image: CocoImage) -> str:
    if source.group is None:
        return ""
    if source.group == FOLDER:
        return str(PurePosixPath(image.file_name).parent)
    if source.group not in image.about:
        raise InputError(
            f"{source.annotations}, image {image.image_id}", f"no {source.group}",
            f"{source.group}, by which images stay together", "name a key that every image has, or none",
        )  # fmt: skip
    return str(image.about[source.group])


def _divided(groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Split of each image; those of one group stay together, those without one do not."""
    if not groups:  # all sets are given their split, and there may be no shares
        return []
    keys = [group or f"\0{place}" for place, group in enumerate(groups)]
    names, sizes = np.unique(keys, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    cut = cut_groups(sizes[order].tolist(), dict(shares))
    of_group = {str(names[place]): split for place, split in zip(order, cut, strict=True)}
    return [of_group[key] for key in keys]


def read_image(image: CameraImage) -> UInt8[np.ndarray, "h w 3"]:
    """Red, green and blue of an image, as the file has its pixels (a rotation in its EXIF data is not applied).

    Raises:
        InputError: the file is damaged or cut short, of more than 8 bits a channel, or not of the size that its entry
            tells.
    """
    try:
        with Image.open(image.path) as opened:
            if opened.mode[0] in "IF":  # which Pillow would cut to 8 bits
                found, remedy = f"numbers of mode {opened.mode}", "scale them to 0 to 255 and save them as 8 bits"
                raise InputError(image.path, found, "8 bits a channel", remedy)
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all of Pillow's kinds of damage
        expected = "a complete image"
        raise InputError(
            image.path, f"no readable image: {error}", expected, "supply the file again, or remove its entry"
        ) from error
    told = (image.told.height, image.told.width)
    if pixels.shape[:2] != told:
        found, expected = ("{} x {} pixels".format(*size) for size in (pixels.shape[:2], told))
        raise InputError(image.path, found, f"{expected}, as its entry tells", "correct the entry: boxes are in pixels")
    return pixels
