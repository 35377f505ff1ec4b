"""What a reader says of how a fires store was made; no times and no paths, so that equal sources make equal stores."""

from __future__ import annotations

import re
from importlib.metadata import version

from emberformer import __version__
from emberformer.dataset_settings import DatasetSettings


def made_by(reader: str) -> dict[str, object]:
    """Reader and versions; of EmberFormer only the release: a store changes with its sources, not with a commit."""
    return {"reader": reader, "emberformer": release_of(__version__), "zarr": version("zarr")}


def release_of(version: str) -> str:
    """The release that a version is, or leads to.

    >>> release_of("0.2.0.dev7+g1a2b3c4.d20260131")
    '0.2.0'
    """
    return re.findall(r"\d+(?:\.\d+)*", version)[0]


def source_provenance(settings: DatasetSettings) -> dict[str, object]:
    """Reader, versions and settings of a data set, but for where it lies."""
    return made_by(settings.source) | {"settings": settings.model_dump(mode="json", exclude={"root", "features"})}
