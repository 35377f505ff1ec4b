import shutil
from pathlib import Path

import numpy as np
import pytest

from emberformer.data.fires import fire_on_map, fire_rows, open_fires
from emberformer.data.reading import ingest
from emberformer.dataset_settings import Cell2FireSettings
from emberformer.errors import InputError

SHAPE = (12, 16)  # rows, columns
HEADER = "ncols 16\nnrows 12\nxllcorner 1000\nyllcorner 5000\ncellsize 100\nNODATA_value -9999\n"
BANDS = {
    "fuels": {"name": "fuel_model", "kind": "categorical", "unit": "Kitral"},
    "elevation": {"kind": "continuous", "unit": "m"},
    "slope": {"name": "slope_deg", "kind": "continuous", "unit": "percent"},
}
ELEVATION = np.arange(192).reshape(SHAPE) + 0.5


def grids(start: tuple[int, int], count: int) -> list[np.ndarray]:
    """A fire that grows by a cell on every side; the cell (0, 0) is harvested."""
    row, column = np.indices(SHAPE)
    reach = np.maximum(abs(row - start[0]), abs(column - start[1]))
    found = [(reach <= k).astype(int) for k in range(count)]
    for grid in found:
        grid[0, 0] = -1
    return found


def write_grid(path: Path, grid: np.ndarray, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, line)) + end for line in grid))


def write_instance(root: Path) -> Path:
    """Three simulations: two of several grids, and one that only has the last."""
    root.mkdir()
    slope = np.full(SHAPE, 100.0)
    fuels = np.where(np.indices(SHAPE)[1] < 4, -9999, 3)
    for name, values in {"fuels": fuels, "elevation": ELEVATION, "slope": slope}.items():
        lines = "\n".join(" ".join(map(str, line)) for line in values)
        (root / f"{name}.asc").write_text(HEADER + lines + "\n")
    rows = [f"w,2020-01-01 {12 + k}:00,36,270" for k in range(4)]
    (root / "Weather.csv").write_text("\n".join(["Scenario,datetime,WS,WD", *rows]) + "\n")
    folder = root / "results" / "Grids"
    for number, grid in enumerate(grids((6, 3), 4)):
        write_grid(folder / "Grids2" / f"ForestGrid{number:02d}.csv", grid)
    for number, grid in enumerate(grids((5, 14), 3)):
        write_grid(folder / "Grids10" / f"ForestGrid{number:02d}.csv", grid, end=",\n")
    write_grid(folder / "Grids3" / "ForestGrid00.csv", grids((2, 2), 1)[0])
    return root


def settings(root: Path, **changes) -> Cell2FireSettings:
    content = {"source": "cell2fire", "root": root, "minutes_per_frame": 60, "window": 8, "bands": BANDS}
    return Cell2FireSettings.model_validate(content | changes)


def read(tmp_path: Path, root: Path, **changes):
    ingest("simulated", settings(root, **changes), tmp_path / "fires.zarr")
    return open_fires(tmp_path / "fires.zarr")


@pytest.fixture
def root(tmp_path) -> Path:
    return write_instance(tmp_path / "instance")


def test_simulations_are_sorted_by_number_and_those_of_one_grid_left_out(tmp_path, root):
    store = read(tmp_path, root)
    assert store.fire_id.values.tolist() == ["simulation_2", "simulation_10"]
    assert store.row_size.values.tolist() == [4, 3]
    assert [one["fire_id"] for one in store.attrs["fires_skipped"]] == ["simulation_3"]
    pairs = set(zip(store.fire_index.values.tolist(), store.step.values.tolist(), strict=True))
    assert len(pairs) == store.sizes["frame"]


def test_windows_lie_around_where_fires_begin_and_on_the_ground(tmp_path, root):
    store = read(tmp_path, root)
    assert store.window_row.values.tolist() == [2, 1]
    assert store.window_col.values.tolist() == [0, 8]  # 10 would reach beyond
    for fire_id, start, count in (("simulation_2", (6, 3), 4), ("simulation_10", (5, 14), 3)):
        row, column = (int(store[name].values[list(store.fire_id.values).index(fire_id)]) for name in
                       ("window_row", "window_col"))  # fmt: skip
        expected = np.stack(grids(start, count))[:, row : row + 8, column : column + 8] == 1
        np.testing.assert_array_equal(store.burned[fire_rows(store, fire_id)].values == 1, expected)


def test_a_harvested_cell_is_not_burned(tmp_path, root):
    store = read(tmp_path, root, window=None)
    assert store.burned.shape[1:] == SHAPE
    assert (store.burned[:, 0, 0] == 0).all()


def test_terrain_has_its_place_its_units_and_its_holes(tmp_path, root):
    store = read(tmp_path, root, crs="EPSG:32719")
    assert store.band.values.tolist() == ["fuel_model", "elevation", "slope_deg"]
    assert store.band_unit.values.tolist() == ["Kitral", "m", "deg"]
    fire = fire_on_map(store, "simulation_2")
    fuel, elevation, slope = fire.terrain.values
    assert np.isnan(fuel[:, :4]).all()
    assert (fuel[:, 4:] == 3).all()
    np.testing.assert_array_equal(elevation, ELEVATION[2:10, :8])
    np.testing.assert_allclose(slope, 45, atol=1e-4)
    assert fire.rio.crs == "EPSG:32719"
    assert (float(fire.x[0]), float(fire.y[0])) == (1050, 5000 + 100 * 12 - 250)


def test_one_weather_of_all(tmp_path, root):
    store = read(tmp_path, root)
    assert store.weather_variable.values.tolist() == ["wind_u", "wind_v", "WS", "WD"]
    np.testing.assert_allclose(store.weather[:, 0], 10, atol=1e-4)
    assert str(store.valid_time.values[1])[:16] == "2020-01-01T13:00"


@pytest.mark.parametrize("form", ["number", "name", "path", "history"])
def test_each_simulation_has_the_weather_that_drove_it(tmp_path, root, form):
    (root / "Weathers").mkdir()
    for number, speed in ((1, 18), (7, 36)):
        rows = [f"w,2020-01-01 {12 + k}:00,{speed},180" for k in range(4)]
        (root / "Weathers" / f"Weather{number}.csv").write_text("\n".join(["Scenario,datetime,WS,WD", *rows]) + "\n")
    drove = {2: 7, 3: 1, 10: 1}
    names = {"number": "{}", "name": "Weather{}.csv", "path": "/data/Weathers/Weather{}.csv"}
    if form == "history":
        lines = [f"Weathers/Weather{drove.get(number, 1)}.csv" for number in range(1, 11)]
        (root / "results" / "WeatherHistory.csv").write_text("\n".join(lines) + "\n")
    else:
        (root / "results" / "IgnitionsHistory").mkdir()
        lines = [f"{number},55,{names[form].format(weather)}" for number, weather in drove.items()]
        log = root / "results" / "IgnitionsHistory" / "ignitions_log.csv"
        log.write_text("\n".join(["simulation,ignition,weather", *lines]) + "\n")
    store = read(tmp_path, root)
    for fire_id, speed in (("simulation_2", 10), ("simulation_10", 5)):
        np.testing.assert_allclose(store.weather[fire_rows(store, fire_id), 1], speed, atol=1e-4)


def test_a_choice_of_weathers_without_a_log_is_not_guessed(tmp_path, root):
    (root / "Weathers").mkdir()
    for number in (1, 2):
        shutil.copy(root / "Weather.csv", root / "Weathers" / f"Weather{number}.csv")
    with pytest.raises(InputError, match=r"(?s)2 tables in Weathers/, and no log.*move Weathers/ away if Weather\.csv"):
        read(tmp_path, root)
    (root / "Weathers" / "Weather2.csv").unlink()
    np.testing.assert_allclose(read(tmp_path, root).weather[:, 0], 10, atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root / "slope.asc").unlink(), r"slope\.tif, \.asc.*rasters elevation\.asc, fuels\.asc"),
        (lambda root: write_grid(root / "results/Grids/Grids2/ForestGrid00.csv", np.ones((3, 4), int)),
         r"ForestGrid00\.csv.*3 lines of 4 numbers.*12 lines of 16"),
        (lambda root: write_grid(root / "results/Grids/Grids2/ForestGrid00.csv", np.full(SHAPE, 2)),
         r"ForestGrid00\.csv.*the number 2"),
        (lambda root: write_grid(root / "results/Grids/Grids2/ForestGrid01.csv", np.full((12, 15), 1)),
         r"ForestGrid01\.csv.*12 lines of 15"),
        (lambda root: (root / "results/Grids/Grids2/ForestGrid00.csv").unlink(), r"Grids2.*frames \[0\] are missing"),
        (lambda root: (root / "results/Grids/Grids2/ForestGrid01.csv").unlink(), r"Grids2.*frames \[1\] are missing"),
        (lambda root: (root / "Weather.csv").unlink(), r"no Weather\.csv.*ignitions_log\.csv"),
        (lambda root: (root / "elevation.asc").write_text(HEADER.replace("1000", "1100") + "1 " * 192),
         r"elevation\.asc.*as fuels\.asc"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, root, spoil, said):
    spoil(root)
    with pytest.raises(InputError, match=f"(?s){said}"):
        read(tmp_path, root)


def test_simulations_that_do_not_fit_can_be_left_out(tmp_path, root):
    write_grid(root / "results/Grids/Grids2/ForestGrid00.csv", np.ones((3, 4), int))
    store = read(tmp_path, root, on_error="skip")
    assert store.fire_id.values.tolist() == ["simulation_10"]
    told = {one["fire_id"]: one["reason"] for one in store.attrs["fires_skipped"]}
    assert "3 lines of 4 numbers" in told["simulation_2"]


def test_a_window_larger_than_the_ground(tmp_path, root):
    with pytest.raises(InputError, match=r"(?s)window.*13 pixels, on a ground of 12 x 16"):
        read(tmp_path, root, window=13)


def test_without_weather(tmp_path, root):
    (root / "Weather.csv").unlink()
    store = read(tmp_path, root, weather=None)
    assert np.isnan(store.weather).all()
    assert store.attrs["seconds_per_frame"] == 3600
