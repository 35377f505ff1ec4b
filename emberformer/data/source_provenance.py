"""What a reader says of how a fires store was made; no times and no paths, so that equal sources make equal stores."""

from __future__ import annotations

from importlib.metadata import version

from emberformer import __version__
from emberformer.dataset_settings import DatasetSettings


def made_by(reader: str) -> dict[str, object]:
    """Reader and versions."""
    return {"reader": reader, "emberformer": __version__, "zarr": version("zarr")}


def source_provenance(settings: DatasetSettings) -> dict[str, object]:
    """Reader, versions and settings of a data set, but for where it lies."""
    return made_by(settings.source) | {"settings": settings.model_dump(mode="json", exclude={"root", "features"})}
