"""Which folders or files under the root of WildfireSpreadTS are fires."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from emberformer.data.wsts.days import SourceFire
from emberformer.data.wsts.geotiff import open_geotiff_fire
from emberformer.data.wsts.hdf5 import open_hdf5_fire
from emberformer.errors import InputError
from emberformer.wsts_settings import WildfireSpreadTSSettings


def find_fires(root: Path, settings: WildfireSpreadTSSettings) -> tuple[list[Path], list[str]]:
    """Fires by year and name, and what else lies among them.

    A fire is a folder or an HDF5 file whose name starts with "fire_". The data set's own loader takes every HDF5 file,
    also those that are no fires.

    Args:
        root: folder that holds one folder a year.
        settings: which years and which layout.

    Returns:
        Paths of the fires; paths, from the root, of what is not read.

    Raises:
        InputError: a year is missing, there is no fire, or there are fires of both layouts and no `layout` is set.
    """
    fires: dict[str, list[Path]] = {"geotiff": [], "hdf5": []}
    left_out: list[str] = []
    for folder in _years(root, settings.years):
        for path in sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name)):
            layout = "geotiff" if path.is_dir() else "hdf5" if path.suffix == ".hdf5" else None
            if layout and path.name.startswith("fire_"):
                fires[layout].append(path)
            elif layout and not path.name.startswith("."):
                left_out.append(str(path.relative_to(root)))
    chosen = [layout for layout, paths in fires.items() if paths and settings.layout in (None, layout)]
    if len(chosen) != 1:
        found = f"{len(fires['geotiff'])} folders and {len(fires['hdf5'])} HDF5 files named fire_..."
        expected = "fires as <year>/fire_<id>/<date>.tif or as <year>/fire_<id>.hdf5"
        raise InputError(root, found, expected, "correct `root` of the data set, or set its `layout`")
    return fires[chosen[0]], left_out


def _years(root: Path, years: tuple[int, ...] | None) -> list[Path]:
    """Folders of the years, earliest first."""
    expected = "a folder a year, such as 2018"
    if years is None:
        if not root.is_dir():
            raise InputError(root, "no such folder", expected, "correct `root` of the data set")
        return sorted(path for path in root.iterdir() if path.is_dir() and path.name.isdecimal())
    folders = [root / str(year) for year in sorted(set(years))]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(folder, "no such folder", expected, "correct `root` or `years` of the data set")
    return folders


def open_fire(path: Path, missing_attributes: Literal["refuse", "unknown"]) -> SourceFire:
    """Open a fire of either layout.

    Raises:
        InputError: it cannot be used.
    """
    return open_geotiff_fire(path) if path.is_dir() else open_hdf5_fire(path, missing_attributes)
