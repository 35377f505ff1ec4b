"""Where the files of Sim2Real-Fire lie, in the tree of the published packages and in the one that its code reads.

published, one folder a scene; "1.1 " and the like before a name, case, spaces and underscores do not count:

    0001/Topography_Map, Vegetation_Map, Fuel_Map    rasters, in further folders or not
    0001/Weather_Data/0001_00001.wxs                 (.txt; or a folder of the fire with its one file)
    0001/Satellite_Images_Mask/0001_00001/out1.jpg   (or Satellite_Images/simulation.../0001_00001/out1.jpg)

code, one folder a scene:

    landfire/*.tif
    train/<fire>/out1.jpg, val/..., test/...         a fire's folder is named <3 letters><weather's name><12 letters>
    wxs_train/<name>.wxs, wxs_val/..., wxs_test/...
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emberformer.errors import InputError

CODE_SPLITS = ("train", "val", "test")
MAPS = ("topographymap", "vegetationmap", "fuelmap")
REMEDY = "check `root` and `layout` of the data set"


@dataclass(frozen=True)
class FireFiles:
    """Where one fire lies: folder of its masks, and names that its weather's file may have, the likeliest first."""

    fire_id: str
    split: str  # of the code's tree; "" = none
    folder: Path
    weather_folder: Path
    weather_names: tuple[str, ...]


@dataclass(frozen=True)
class SceneFiles:
    """One scene: its rasters, sorted by name, and its fires, sorted by name."""

    name: str
    folder: Path
    rasters: tuple[Path, ...]
    fires: tuple[FireFiles, ...]


def find_scenes(root: Path, layout: Literal["published", "code"]) -> list[SceneFiles]:
    """Scenes of a data set, sorted by name.

    Args:
        root: one scene, or a folder of scenes.
        layout: which of the two trees it is.

    Raises:
        InputError: there is no scene, a scene has no fire, or two fires have one name.
    """
    is_scene, find = (_is_published, _find_published) if layout == "published" else (_is_code, _find_code)
    if not root.is_dir():
        raise InputError(root, "no such folder", "a folder of scenes", REMEDY)
    folders = [root] if is_scene(root) else [folder for folder in _folders(root) if is_scene(folder)]
    if not folders:
        expected = {"published": "Topography_Map", "code": "landfire"}[layout]
        raise InputError(root, "no scene", f"folders with a folder {expected} in each", REMEDY)
    scenes = [find(folder, "" if folder == root else f"{folder.name}_") for folder in folders]
    counts = Counter(fire.fire_id for scene in scenes for fire in scene.fires)
    if double := [fire_id for fire_id, count in counts.items() if count > 1]:
        raise InputError(root, f"several fires named {double[0]}", "a name for each", "rename the folder of one")
    return scenes


def _is_published(folder: Path) -> bool:
    return any(_plain(inner.name) in MAPS for inner in _folders(folder))


def _is_code(folder: Path) -> bool:
    return (folder / "landfire").is_dir()


def _find_published(folder: Path, _prefix: str) -> SceneFiles:
    """A scene of the published tree: fires carry the scene's number in their names already."""
    inner = {_plain(path.name): path for path in _folders(folder)}
    images = inner.get("satelliteimages")
    simulated = [path for path in _folders(images) if "simulation" in _plain(path.name)] if images else []
    masks = [path for name, path in inner.items() if name.startswith("satellite") and name.endswith("mask")] + simulated
    weather = inner.get("weatherdata", folder / "Weather_Data")
    fires = [FireFiles(path.name, "", path, weather, (path.name,)) for of in masks for path in _folders(of)]
    rasters = [path for name in MAPS if name in inner for path in inner[name].rglob("*.tif")]
    return _scene(folder, rasters, fires, "Satellite_Images_Mask/<fire>")


def _find_code(folder: Path, prefix: str) -> SceneFiles:
    fires = [
        FireFiles(
            f"{prefix}{split}_{path.name}", split, path, folder / f"wxs_{split}", (path.name, path.name[3:][:-12])
        )
        for split in CODE_SPLITS
        for path in (_folders(folder / split) if (folder / split).is_dir() else [])
    ]
    return _scene(folder, list((folder / "landfire").rglob("*.tif")), fires, "train/<fire>")


def _scene(folder: Path, rasters: list[Path], fires: list[FireFiles], example: str) -> SceneFiles:
    if not fires:
        raise InputError(folder, "no fire", f"folders of masks such as {example}", REMEDY)
    ordered = sorted((path for path in rasters if not path.name.startswith(".")), key=lambda path: path.name)
    return SceneFiles(folder.name, folder, tuple(ordered), tuple(fires))


def find_weather(fire: FireFiles) -> Path:
    """Weather file of a fire.

    Raises:
        InputError: there is none, or several.
    """
    for name in filter(None, fire.weather_names):
        places = [fire.weather_folder / f"{name}{ending}" for ending in (".wxs", ".txt", "")]
        found = [path for path in places if path.is_file()]
        if (inner := places[-1]).is_dir():
            found += sorted(path for path in inner.iterdir() if path.is_file() and not path.name.startswith("."))
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(fire.weather_folder, f"{len(found)} files of {name}", "one", "remove the others")
    expected = f"the weather of {fire.fire_id}, such as {fire.weather_names[0]}.wxs"
    raise InputError(fire.weather_folder, "no such file", expected, "supply it, or set `weather: false`")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _plain(name: str) -> str:
    """Letters alone, in lower case, without a number before them.

    >>> _plain("1.5 Satellite_Images")
    'satelliteimages'
    """
    return re.sub(r"[^a-z]", "", name.lower())
