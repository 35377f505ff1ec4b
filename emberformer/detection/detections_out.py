"""Detections for others: boxes on the map in a GeoPackage, and a COCO results file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
from jaxtyping import Float
from pyproj import CRS
from rasterio import Affine
from shapely.geometry import Polygon

from emberformer.atomic import replacing_file, write_json
from emberformer.detection.coco import Georeference, results_content
from emberformer.detection.found import Detections
from emberformer.errors import InputError
from emberformer.outputs.qgis_styles import detections_style
from emberformer.outputs.vector_files import write_geopackage

LAYER = "detections"
TIME = "datetime64[ms, UTC]"
COLUMNS = {"fire_id": "object", "category": "object", "score": "float64", "init_time": TIME, "valid_time": TIME}


@dataclass(frozen=True)
class FoundInFrame:
    """What was found in a frame of a fire, or in an image with a place on the map.

    Args:
        fire_id: name of the fire.
        init_time: time of the frame.
        valid_time: time that each category is of, datetime64[s]: that of the frame, or of the one to come.
        place: where its raster lies.
        found: boxes in pixels of the raster.
    """

    fire_id: str
    init_time: np.datetime64
    valid_time: np.ndarray
    place: Georeference
    found: Detections


def boxes_on_map(boxes: Float[np.ndarray, "n 4"], place: Georeference) -> list[Polygon]:
    """Boxes in map coordinates, counter-clockwise on a north-up raster."""
    a, b, c, d, e, f = place.transform
    corners = boxes[:, [[0, 3], [2, 3], [2, 1], [0, 1]]]  # box, corner, (column, row)
    column, row = corners[..., 0], corners[..., 1]
    return [Polygon(ring) for ring in np.stack([a * column + b * row + c, d * column + e * row + f], -1)]


def boxes_in_pixels(outlines: Sequence[Polygon], place: Georeference) -> Float[np.ndarray, "n 4"]:
    """Boxes x0 y0 x1 y1 in pixels of outlines on the map: the inverse of `boxes_on_map`."""
    a, b, c, d, e, f = (~Affine(*place.transform))[:6]
    rings = [np.array(outline.exterior.coords) for outline in outlines]
    pixels = [np.stack([a * x + b * y + c, d * x + e * y + f], -1) for x, y in (ring.T for ring in rings)]
    return np.array([[*of.min(0), *of.max(0)] for of in pixels], float).reshape(-1, 4)


def detection_table(frames: Sequence[FoundInFrame], categories: Sequence[str]) -> geopandas.GeoDataFrame:
    """A row a detection: fire_id, category, score, init_time, valid_time and the box as a polygon, surest last.

    Raises:
        InputError: the frames lie in several coordinate reference systems, which no layer can hold.
    """
    systems = sorted({frame.place.crs_wkt for frame in frames})
    if len(systems) > 1:
        found = f"{len(systems)} coordinate reference systems"
        raise InputError("detections", found, "one a file", "write a file a data set")
    rows, outlines = [], []
    for frame in frames:
        drawn = boxes_on_map(frame.found.boxes, frame.place)
        for number in np.argsort(frame.found.scores, kind="stable").tolist():
            label, score = int(frame.found.labels[number]), float(frame.found.scores[number])
            rows.append((frame.fire_id, categories[label], score, frame.init_time, frame.valid_time[label]))
            outlines.append(drawn[number])
    values = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    table = {
        name: pd.Series(pd.to_datetime(np.array(of, "datetime64[s]"), utc=True)).astype(kind)
        if kind.startswith("datetime")
        else pd.Series(of, dtype=kind)
        for (name, kind), of in zip(COLUMNS.items(), values, strict=True)
    }
    crs = CRS.from_wkt(systems[0]) if systems and systems[0] else None
    return geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(outlines, crs=crs))


def write_detections(path: Path, frames: Sequence[FoundInFrame], categories: Sequence[str]) -> None:
    """Write a GeoPackage with the layer `detections` and its QGIS style, whole or not at all.

    Args:
        path: file to write; replaced if it exists.
        frames: what was found in which frame.
        categories: names of the labels.

    Raises:
        InputError: the frames lie in several coordinate reference systems.
    """
    table = detection_table(frames, categories)
    with replacing_file(path, path.suffix) as partial:
        write_geopackage(partial, {LAYER: table}, {LAYER: detections_style(categories)})


def write_results(path: Path, found: Sequence[Detections], file_names: Sequence[str] | None = None) -> None:
    """Write a COCO results file; its images and categories are numbered from 1, in their order.

    Args:
        path: file to write.
        found: detections of each image, in its own pixels.
        file_names: of the images, which stand in each row beside what COCO's tools read.
    """
    rows = results_content(found)
    if file_names is not None:
        rows = [{**row, "file_name": file_names[row["image_id"] - 1]} for row in rows]
    write_json(path, rows)
