"""One fire in every form is the same fire; each form's misfits are named."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from rasterio import Affine
from shapely.geometry import LineString, MultiPolygon, Point, Polygon

from emberformer.data.perimeter_images import parse_encoding
from emberformer.data.perimeters import PerimeterOptions, list_files, read_grid, read_perimeters
from emberformer.data_settings import EncodingSettings
from emberformer.errors import InputError
from tests.new_fires import (
    CRS,
    SHAPE,
    START,
    TRANSFORM,
    grow,
    outlines,
    times,
    write_frames,
    write_images,
    write_netcdf,
    write_raster,
)

MINUTES = 30.0


def _read(perimeters, terrain=(), **options):
    observed, grid = read_perimeters(perimeters, PerimeterOptions(MINUTES, **options), terrain)
    assert grid.shape == observed.burned.shape[1:]
    return observed, grid


def _assert_the_fire(observed, dated=True):
    assert (observed.burned == grow()).all()
    assert observed.dated == dated
    if dated:
        assert (observed.time == times()).all()


@pytest.fixture
def template(tmp_path):
    return write_raster(tmp_path / "template.tif", np.zeros(SHAPE, np.uint8))


# GeoTIFFs


def test_numbered_rasters_are_a_step_apart(tmp_path):
    folder = write_frames(tmp_path / "fire", grow())
    observed, grid = _read(folder, start=START)
    _assert_the_fire(observed)
    assert grid.transform == TRANSFORM
    assert "30 minutes apart" in observed.notes[0]
    _assert_the_fire(_read(folder)[0], dated=False)


def test_rasters_tell_their_times_in_tags(tmp_path):
    for number, (frame, time) in enumerate(zip(grow(), times(), strict=True)):
        write_raster(tmp_path / f"{number}.tif", frame, TIFFTAG_DATETIME=str(time).replace("-", ":").replace("T", " "))
    _assert_the_fire(_read(tmp_path)[0])
    other = np.datetime64("2020-01-01T00:00", "s")
    observed, _ = _read(tmp_path, start=other)
    assert observed.time[0] == other
    assert "times in the files are not used" in observed.notes[-1]


def test_the_day_of_saving_stands_behind_the_name(tmp_path):
    for time, frame in zip(times(), grow(), strict=True):
        write_raster(tmp_path / f"{str(time).replace(':', '')}.tif", frame, TIFFTAG_DATETIME="2025:05:05 10:00:00")
    _assert_the_fire(_read(tmp_path)[0])


def test_an_hour_that_may_be_a_number_is_refused(tmp_path):
    path = write_raster(tmp_path / "2024-01-31_12.tif", grow(1)[0])
    with pytest.raises(InputError, match=r"(?s)2024-01-31_12\.tif.*an hour or a number"):
        _read(path)
    assert _read(path, start=START)[0].time.tolist() == [START]
    write_raster(path, grow(1)[0], TIFFTAG_DATETIME="2025:05:05 10:00:00")  # which is no way out
    with pytest.raises(InputError, match=r"(?s)2024-01-31_12\.tif.*an hour or a number"):
        _read(path)
    assert _read(write_raster(path, grow(1)[0], valid_time="2024-01-31T09:00-03:00"))[0].time.tolist() == [START]


def test_hours_that_may_be_numbers_keep_the_order_of_their_dates(tmp_path):
    for name, frame in zip(("0131_22", "0131_23", "0201_00", "0201_01"), grow(), strict=True):
        write_raster(tmp_path / f"2024{name}.tif", frame)
    observed, _ = read_perimeters(tmp_path, PerimeterOptions(60.0, start=np.datetime64("2024-01-31T22:00", "s")))
    assert (observed.burned == grow()).all()
    assert (np.diff(observed.time) == np.timedelta64(1, "h")).all()


def test_rasters_tell_their_times_in_names_whatever_their_order(tmp_path):
    paths = [
        write_raster(tmp_path / f"{'abcd'[3 - number]}_{str(time).replace(':', '')}.tif", frame)
        for number, (frame, time) in enumerate(zip(grow(), times(), strict=True))
    ]
    _assert_the_fire(_read(paths[::-1])[0])


def test_bands_are_frames(tmp_path):
    path = write_raster(tmp_path / "fire.tif", *grow(), tags=[{"valid_time": str(time)} for time in times()])
    _assert_the_fire(_read(path)[0])
    path = write_raster(tmp_path / "named.tif", *grow(), names=list(map(str, times())))
    _assert_the_fire(_read(path)[0])


def test_of_a_file_of_frames_the_bands_tell_the_time_and_not_its_name(tmp_path):
    path = write_raster(tmp_path / "creek_20240131_12.tif", *grow())
    _assert_the_fire(_read(path)[0], dated=False)
    doubtful = [f"202401{day}_12" for day in range(28, 32)]
    for names, tags in ((doubtful, ()), ((), [{"valid_time": word} for word in doubtful])):
        with pytest.raises(InputError, match=r"(?s)named\.tif, band 1.*'20240128_12': an hour or a number"):
            _read(write_raster(tmp_path / "named.tif", *grow(), names=names, tags=tags))


def test_above_zero_burns_and_no_data_is_unknown(tmp_path):
    values = np.array([[0, 1, 7.5], [-9999, np.nan, -1]], np.float32)
    path = write_raster(tmp_path / "fire.tif", values, nodata=-9999)
    assert _read(path)[0].burned[0].tolist() == [[0, 1, 1], [255, 255, 0]]


def test_masks_that_know_the_fire_alone_are_refused(tmp_path):
    path = write_raster(tmp_path / "fire.tif", *grow(), nodata=0)
    with pytest.raises(InputError, match=r"(?s)fire\.tif.*known to be unburned.*gdal_edit\.py -unsetnodata"):
        _read(path)
    assert (_read(write_raster(path, np.ones(SHAPE, np.uint8)))[0].burned == 1).all()


def test_degrees_are_moved_to_their_zone(tmp_path):
    frame = np.zeros((60, 60), np.uint8)
    frame[10:50, 10:50] = 1
    transform = Affine(0.0003, 0, -70.73, 0, -0.0003, -34)
    path = write_raster(tmp_path / "fire.tif", frame, crs="EPSG:4326", transform=transform)
    observed, grid = _read(path, start=START)
    assert grid.crs.to_epsg() == 32719
    area = observed.burned[0].sum() * grid.cell_m**2
    assert area == pytest.approx(1600 * (0.0003 * 111_320) ** 2 * np.cos(np.deg2rad(34)), rel=0.02)
    assert "are moved to" in observed.notes[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": None}, "a transform without a coordinate reference system.*gdal_edit"),
        ({"transform": Affine.identity()}, "a CRS without a transform"),
        ({"crs": None, "transform": Affine.identity()}, "without a coordinate reference system.*--template"),
    ],
)
def test_rasters_without_a_place(tmp_path, options, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        _read(write_raster(tmp_path / "fire.tif", grow(1)[0], **options))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((24, 29), {}, "24 x 29 pixels.*24 x 30 pixels, as .*fire_000.tif"),
        (SHAPE, {"crs": "EPSG:32718"}, "EPSG:32718.*EPSG:32719"),
        (SHAPE, {"transform": TRANSFORM * Affine.translation(1, 0)}, "found.*at .*as .*fire_000.tif"),
        (SHAPE, {"crs": None, "transform": Affine.identity()}, "no georeference.*a georeference"),
    ],
)
def test_rasters_on_several_grids(tmp_path, shape, options, message):
    folder = write_frames(tmp_path / "fire", grow(2))
    write_raster(folder / "fire_002.tif", np.ones(shape, np.uint8), **options)
    with pytest.raises(InputError, match=f"(?s)fire_002.*{message}"):
        _read(folder)


def test_truncated_raster(tmp_path):
    folder = write_frames(tmp_path / "fire", grow(2))
    path = folder / "fire_001.tif"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"(?s)fire_001\.tif.*complete raster.*supply the file again"):
        _read(folder)


def test_rasters_of_which_some_tell_their_time(tmp_path):
    folder = write_frames(tmp_path / "fire", grow(2))
    write_raster(folder / "fire_002.tif", grow(3)[2], valid_time="2024-01-31T12:30")
    with pytest.raises(InputError, match=r"(?s)fire_002\.tif tells its time.*fire_000\.tif does not.*--start"):
        _read(folder)


@pytest.mark.parametrize(
    ("times", "word"), [(("12:30", "12:00"), "earlier than"), (("12:00", "12:00"), "the same time")]
)
def test_raster_times_out_of_order_or_double(tmp_path, times, word):
    for number, time in enumerate(times):
        write_raster(tmp_path / f"{number}.tif", grow(1)[0], valid_time=f"2024-01-31T{time}")
    with pytest.raises(InputError, match=f"(?s){word}.*each frame later than the one before it.*--start"):
        _read(tmp_path)


def test_many_files_have_one_band_each(tmp_path):
    folder = write_frames(tmp_path / "fire", grow(2))
    write_raster(folder / "fire_002.tif", *grow(2))
    with pytest.raises(InputError, match=r"(?s)fire_002\.tif.*2 bands.*one band"):
        _read(folder)


# Images


def test_images_are_put_on_the_template_or_on_terrain_of_their_size(tmp_path, template):
    folder = write_images(tmp_path / "fire", grow())
    observed, grid = _read(folder, template=template, start=START)
    _assert_the_fire(observed)
    assert grid.transform == TRANSFORM
    small = write_raster(tmp_path / "small.tif", np.zeros((3, 3), np.uint8))
    observed, grid = _read(folder, (small, template), start=START)
    _assert_the_fire(observed)
    assert grid.transform == TRANSFORM
    assert "put on the grid of template.tif" in observed.notes[-1]


def test_images_without_a_place_or_of_another_size(tmp_path, template):
    folder = write_images(tmp_path / "fire", grow())
    small = write_raster(tmp_path / "small.tif", np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match=r"(?s)24 x 30 pixels without.*small\.tif: 3 x 3.*--template"):
        _read(folder, (small,))
    with pytest.raises(InputError, match=r"(?s)24 x 30 pixels without a place.*3 x 3 pixels, as the template"):
        _read(folder, template=small)


def test_coloured_images_need_an_encoding(tmp_path, template):
    (tmp_path / "fire").mkdir()
    for number, frame in enumerate(grow()):
        colours = np.where(frame[:, :, None], (253, 231, 36), (68, 1, 84)).astype(np.uint8)
        Image.fromarray(colours).save(tmp_path / "fire" / f"{number}.png")
    with pytest.raises(InputError, match=r"(?s)0\.png.*in colours.*--encoding channel=value"):
        _read(tmp_path / "fire", template=template)
    observed, _ = _read(tmp_path / "fire", template=template, encoding=EncodingSettings(channel=1, value=231))
    _assert_the_fire(observed, dated=False)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_grey_images_of_any_mode(tmp_path, template, mode):
    (tmp_path / "fire").mkdir()
    for number, frame in enumerate(grow()):
        grey = Image.fromarray(frame.astype(np.uint16)) if mode == "I;16" else Image.fromarray(frame * np.uint8(255))
        (grey if mode == "I;16" else grey.convert(mode)).save(tmp_path / "fire" / f"{number}.png")
    _assert_the_fire(_read(tmp_path / "fire", template=template)[0], dated=False)


def test_truncated_image_and_mixed_sizes(tmp_path, template):
    folder = write_images(tmp_path / "fire", grow())
    path = folder / "fire_002.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"(?s)fire_002\.png.*no readable image.*a complete PNG"):
        _read(folder, template=template)
    Image.fromarray(np.zeros((24, 31), np.uint8)).save(path)
    with pytest.raises(InputError, match=r"(?s)fire_002\.png.*24 x 31 pixels.*24 x 30 pixels, as fire_000\.png"):
        _read(folder, template=template)


# NetCDF

SECONDS = (times() - START).astype(float)


def test_netcdf_masks(tmp_path):
    burned = (("time", "y", "x"), grow())
    path = write_netcdf(tmp_path / "fire.nc", burned=burned, time=("time", times().astype("datetime64[ns]")))
    observed, grid = _read(path)
    _assert_the_fire(observed)
    assert grid.transform == TRANSFORM
    assert grid.crs.to_epsg() == 32719


def test_netcdf_masks_on_rows_from_the_south_with_minutes(tmp_path):
    turned = TRANSFORM * Affine.translation(0, SHAPE[0]) * Affine.scale(1, -1)
    burned = (("time", "y", "x"), grow()[:, ::-1])
    path = write_netcdf(tmp_path / "fire.nc", turned, burned=burned, time=("time", SECONDS / 60, {"units": "minutes"}))
    observed, grid = _read(path, start=START)
    _assert_the_fire(observed)
    assert grid.transform == TRANSFORM
    assert not _read(path)[0].dated


@pytest.mark.parametrize(
    "values",
    [(SECONDS, {"units": "s"}), (SECONDS / 60, {"units": "minutes since 2024-01-31 12:00"}),
     (SECONDS / 3600, {"units": "h"})],
)  # fmt: skip
def test_netcdf_arrival_times(tmp_path, values):
    seconds, attributes = values
    arrival = np.full(SHAPE, np.nan)
    for frame, second in zip(grow()[::-1], seconds[::-1], strict=True):
        arrival[frame == 1] = second
    path = write_netcdf(tmp_path / "fire.nc", arrival_time=(("y", "x"), arrival, attributes))
    _assert_the_fire(_read(path, start=START)[0])


def test_netcdf_masks_that_know_the_fire_alone_are_refused(tmp_path):
    time = ("time", times().astype("datetime64[ns]"))
    path = write_netcdf(tmp_path / "fire.nc", burned=(("time", "y", "x"), grow(), {"_FillValue": 0}), time=time)
    with pytest.raises(InputError, match=r"(?s)fire\.nc.*known to be unburned.*ncatted -a _FillValue,burned,d,,"):
        _read(path)
    burned = np.where(np.arange(SHAPE[1]) < 2, 9, grow()).astype(np.uint8)
    path = write_netcdf(tmp_path / "part.nc", burned=(("time", "y", "x"), burned, {"_FillValue": 9}), time=time)
    assert (_read(path)[0].burned == np.where(burned == 9, 255, burned)).all()


@pytest.mark.parametrize(
    ("crs", "arrays", "message"),
    [
        (CRS, {"mask": (("y", "x"), grow(1)[0])}, "mask.*burned.*arrival_time"),
        (CRS, {"burned": (("time", "y", "x"), grow())}, "no such coordinate"),
        (CRS, {"arrival_time": (("y", "x"), np.full(SHAPE, np.nan), {"units": "s"})}, "no pixel with an arrival"),
        (CRS, {"arrival_time": (("y", "x"), np.ones(SHAPE), {"units": "fortnight"})}, "fortnight.*minutes since"),
        (CRS, {"burned": (("t", "rows", "columns"), grow())}, r"burned \('t', 'rows', 'columns'\)"),
        (CRS, {"burned": (("time", "y", "x"), grow(2)), "time": ("time", [1.0, 0.0], {"units": "h"})}, "earlier than"),
    ],
)
def test_netcdf_that_does_not_fit(tmp_path, crs, arrays, message):
    with pytest.raises(InputError, match=rf"(?s)fire\.nc.*{message}"):
        _read(write_netcdf(tmp_path / "fire.nc", crs=crs, **arrays))


def test_netcdf_without_a_place_or_damaged(tmp_path, template):
    arrays = {"burned": (("time", "y", "x"), grow()), "time": ("time", SECONDS, {"units": "s"})}
    path = write_netcdf(tmp_path / "fire.nc", crs=None, **arrays)
    _assert_the_fire(_read(path, template=template, start=START)[0])
    with pytest.raises(InputError, match=r"(?s)24 x 30 pixels without a coordinate reference system"):
        _read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"(?s)fire\.nc.*a NetCDF file"):
        _read(path)


@pytest.mark.filterwarnings("ignore:Variable.s. referenced in grid_mapping")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.rename(y="row"), r"dimensions .*'row'"),
        (lambda d: d.assign_coords(x=d.x + 5.0 * (d.x > d.x.mean())), "coordinate x.*uneven steps"),
        (lambda d: d.drop_vars("spatial_ref"), "coordinates without a coordinate reference system"),
        (lambda d: d.drop_vars(["x", "y"]), "no coordinates x and y"),
        (lambda d: d.assign_coords(time=d.time.where(d.time > d.time[0])), "a time that is missing"),
    ],
)
def test_netcdf_whose_grid_or_times_are_incomplete(tmp_path, change, message):
    path = write_netcdf(
        tmp_path / "whole.nc", burned=(("time", "y", "x"), grow()), time=("time", times().astype("datetime64[ns]"))
    )
    with xr.open_dataset(path, decode_coords="all") as whole:
        change(whole).to_netcdf(tmp_path / "fire.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=rf"(?s)fire\.nc.*{message}"):
        _read(tmp_path / "fire.nc")


# Polygons


@pytest.mark.parametrize("name", ["fire.gpkg", "fire.geojson", "fire.shp", "fire.fgb"])
def test_polygons_are_the_masks_they_were_made_from(tmp_path, template, name):
    table = outlines(grow(), times())
    (table.to_crs(4326) if name.endswith("geojson") else table).to_file(tmp_path / name)
    observed, _ = _read(tmp_path / name, template=template)
    _assert_the_fire(observed)
    own, grid = _read(tmp_path / name, cell_m=30.0, margin_m=90.0)
    row, column = (np.flatnonzero(grow()[-1].any(axis=axis))[0] for axis in (1, 0))
    extent = SHAPE if name.endswith("geojson") else (17, 17)  # 11 pixels and 3 on every side
    if not name.endswith("geojson"):
        assert grid.shape == extent
        assert (own.burned == grow()[:, row - 3 : row + 14, column - 3 : column + 14]).all()
    assert own.burned.sum(axis=(1, 2)).tolist() == grow().sum(axis=(1, 2)).tolist()


def test_growth_between_times_is_joined(tmp_path, template):
    growth = np.concatenate([grow()[:1], grow()[1:] - grow()[:-1]])
    outlines(growth, times()).iloc[::-1].to_file(tmp_path / "fire.gpkg")
    _assert_the_fire(_read(tmp_path / "fire.gpkg", template=template)[0])


def test_a_file_of_polygons_a_time(tmp_path, template):
    for number, (frame, time) in enumerate(zip(grow(), times(), strict=True)):
        table = outlines(frame[None], [time]).to_crs([CRS, 4326][number % 2])
        stamp = "" if number < 2 else str(time).replace(":", "")
        (table if number < 2 else table.drop(columns="time")).to_file(tmp_path / f"{'abcd'[number]}{stamp}.geojson")
    (tmp_path / "template.tif").rename(tmp_path / "template.TMP")
    _assert_the_fire(_read(tmp_path, template=tmp_path / "template.TMP")[0])
    outlines(grow(1), times(1)).assign(time=30.0).to_file(tmp_path / "e.geojson")
    with pytest.raises(InputError, match=r"(?s)e\.geojson.*minutes, but dates.*times of one kind"):
        _read(tmp_path, template=tmp_path / "template.TMP")


def test_minutes_count_from_the_start(tmp_path, template):
    table = outlines(grow(), times())
    table["time"] = (table["time"].to_numpy("datetime64[s]") - START).astype(float) / 60
    table.rename(columns={"time": "elapsed"}).to_file(tmp_path / "fire.gpkg")
    observed, _ = _read(tmp_path / "fire.gpkg", template=template, time_column="elapsed", start=START)
    _assert_the_fire(observed)


def test_zones_become_utc(tmp_path, template):
    table = outlines(grow(), times())
    table["time"] = [f"{time}-03:00" for time in table["time"]]
    table.to_file(tmp_path / "fire.geojson", engine="pyogrio")
    observed, _ = _read(tmp_path / "fire.geojson", cell_m=30.0, crs=CRS)
    assert (observed.time == times() + np.timedelta64(3, "h")).all()


def test_invalid_polygons_are_repaired_and_empty_ones_left_out(tmp_path, template):
    x, y = TRANSFORM * (10, 10)
    bowtie = Polygon([(x, y), (x + 300, y - 300), (x + 300, y), (x, y - 300)])
    table = geopandas.GeoDataFrame({"time": ["2024-01-31"] * 3, "geometry": [bowtie, MultiPolygon(), None]}, crs=CRS)
    table.to_file(tmp_path / "fire.gpkg")
    observed, _ = _read(tmp_path / "fire.gpkg", template=template)
    assert observed.burned[0].sum() == pytest.approx(bowtie.buffer(0).area / 900 * 2, rel=0.2)
    assert "1 of 3 polygons are invalid (Self-intersection" in observed.notes[0]
    assert "2 features without an area are left out" in observed.notes[1]


def test_shapefile_without_its_prj(tmp_path):
    outlines(grow(), times()).to_file(tmp_path / "fire.shp")
    (tmp_path / "fire.prj").unlink()
    with pytest.raises(InputError, match=r"(?s)fire\.shp.*no coordinate reference system.*\.prj beside the \.shp"):
        _read(tmp_path / "fire.shp", cell_m=30.0)


def test_metres_that_are_said_to_be_degrees(tmp_path):
    outlines(grow(), times(), crs="EPSG:4326").to_file(tmp_path / "fire.gpkg")
    with pytest.raises(InputError, match=r"(?s)fire\.gpkg.*in a CRS of degrees.*the CRS is wrong"):
        _read(tmp_path / "fire.gpkg", cell_m=30.0)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.rename(columns={"time": "when"}), {}, "no column of a usual name among .'when'.*--time-column"),
        (lambda t: t.assign(date=t["time"]), {}, r"columns \['time', 'date'\].*--time-column"),
        (lambda t: t, {"time_column": "when"}, r"no column 'when'; columns \['time'\]"),
        (lambda t: t.assign(time="noon"), {}, "'noon'.*ISO 8601"),
        (lambda t: t.assign(time=1.7e12), {}, "the number 1700000000000.*minutes since"),
        (lambda t: t.assign(time=[None, *t["time"][1:]]), {}, "no time in 1 of 4"),
        (lambda t: t.assign(geometry=Point(0, 0)), {}, "a Point.*polygons"),
        (lambda t: t.assign(geometry=LineString([(0, 0), (9, 9)])), {}, "a LineString.*polygons"),
        (lambda t: t.assign(geometry=Polygon()), {}, "4 features without an area"),
        (lambda t: t[:0], {}, "no features|features without an area"),
        (lambda t: t, {"cell_m": None}, "polygons, which have no pixels.*--cell"),
        (lambda t: t, {"layer": "other"}, "none called 'other'.*--layer"),
    ],
)
def test_polygons_that_do_not_fit(tmp_path, change, options, message):
    change(outlines(grow(), times())).to_file(tmp_path / "fire.gpkg")
    with pytest.raises(InputError, match=rf"(?s)fire\.gpkg.*{message}"):
        _read(tmp_path / "fire.gpkg", **({"cell_m": 30.0} | options))


def test_layers_are_told_apart(tmp_path, template):
    for layer in ("fire", "lines"):
        outlines(grow(), times()).to_file(tmp_path / "fire.gpkg", layer=layer)
    with pytest.raises(InputError, match=r"(?s)layers \['fire', 'lines'\].*--layer"):
        _read(tmp_path / "fire.gpkg", template=template)
    _assert_the_fire(_read(tmp_path / "fire.gpkg", template=template, layer="fire")[0])


# Files


def test_kinds_are_not_mixed(tmp_path):
    folder = write_frames(tmp_path / "fire", grow(1))
    write_images(tmp_path / "fire" / "images", grow(1))
    assert len(list_files(folder)) == 1
    with pytest.raises(InputError, match=r"(?s)kinds \.png, \.tif"):
        list_files([folder / "fire_000.tif", folder / "images" / "fire_000.png"])
    with pytest.raises(InputError, match=r"(?s)2 files \(a\.nc"):
        list_files([Path("a.nc"), Path("b.nc")])
    with pytest.raises(InputError, match=r"(?s)kinds \.doc"):
        list_files(Path("a.doc"))
    with pytest.raises(InputError, match="no such file"):
        list_files(Path("a.tif"))
    with pytest.raises(InputError, match="no perimeters"):
        list_files([])


def test_template_is_projected_and_north_up(tmp_path):
    path = write_raster(tmp_path / "t.tif", np.zeros((2, 2), np.uint8), crs="EPSG:4326")
    with pytest.raises(InputError, match=r"(?s)t\.tif.*EPSG:4326.*a projected CRS"):
        read_grid(path)


@pytest.mark.parametrize("word", ["1", "red=231", "1=300", "5=1", "1=2=3"])
def test_an_encoding_that_is_none(word):
    with pytest.raises(InputError, match=r"(?s)--encoding.*CHANNEL=VALUE"):
        parse_encoding(word)
