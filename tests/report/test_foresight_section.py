"""The section on foresight: what it claims follows from the intervals against damped persistence."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from emberformer.errors import InputError
from emberformer.foresight.gains import gain
from emberformer.report.foresight import label, read_foresight
from tests.stores import tiny_experiment


@pytest.fixture
def layout(tmp_path):
    _, layout = tiny_experiment(tmp_path, foresight={"gaps": [1, 2], "trained": ["mlp"], "without_wind": []})
    layout.foresight.mkdir(parents=True)
    return layout


def scored(name, value, low, high):
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def write(layout, intervals):
    """Tables of a study whose MLP has these intervals against damped persistence, by gap."""
    told = {"dataset": "tiny", "seconds": 1800.0}
    alike = [{**told, "gap": gap, "seconds": 1800.0 * gap, "region": region}
             | scored("mse", gap, gap, gap) | scored("cosine", 1 - gap / 10, 0, 1)
             for gap in (0, 1, 2) for region in ("all", "changed", "cls")]  # fmt: skip
    predicted = [
        {**told, "gap": gap, "seconds": 1800.0 * gap, "region": region, "predictor": name, "chosen": name == "mlp"}
        | scored("better_than_copy", 5.0, 1, 9) | scored("better_than_damped", sum(of) / 2, *of) | {"gain": gain(*of)}
        | scored("better_than_no_wind", 1.0, *wind) | {"wind_helps": gain(*wind)}
        for region in ("all", "changed") for gap, interval in intervals.items()
        for name, of in {"copy": (0.0, 0.0), "damped": (0.0, 0.0), "mlp": interval}.items()
        for wind in ((0.5, 1.5) if name == "mlp" and gap == 2 else (-1.0, 3.0) if name == "mlp" else (np.nan, np.nan),)
    ]  # fmt: skip
    grid = [{**told, "gap": gap, "target": target, "head": head} | scored("better_than_copy", 5.0, 1, 9)
            for gap in intervals for target in ("feature", "mask") for head in ("film_global", "token")]  # fmt: skip
    fire = [{**told, "gap": gap, "reader": "probe", "source": source} | scored("iou_new", 0.3, 0.2, 0.4)
            for gap in intervals for source in ("persistence", "truth", "copy", "mlp")]  # fmt: skip
    for name, rows in {"gap_similarity": alike, "gap_predict": predicted, "head_grid": grid, "probe": fire}.items():
        pd.DataFrame(rows).to_csv(layout.foresight / f"{name}.csv", index=False)
    maps = xr.Dataset(
        {"change": (("fire", "gap", "patch_y", "patch_x"), np.ones((1, 2, 2, 3))),
         "burned_share": (("fire", "frame", "patch_y", "patch_x"), np.zeros((1, 3, 2, 3)))},
        {"fire_id": ("fire", ["f1"]), "gap": [1, 2], "frame": [0, 1, 2]},
    )  # fmt: skip
    maps.to_netcdf(layout.foresight / "change_maps_tiny.nc", engine="h5netcdf")


def test_only_an_interval_above_zero_is_called_better(layout):
    write(layout, {1: (2.0, 4.0), 2: (-1.0, 3.0)})
    (section,) = read_foresight(layout)
    said = " ".join(section.said)
    better, undecided = said.index("is better than damped"), said.index("cannot be told from damped")
    assert said.index("30 min: +3.0 % (2.0 to 4.0)") in range(better, undecided)
    assert "1 h: +1.0 % (−1.0 to 3.0)" in said[undecided:]
    assert "worse" not in said
    (_, rows), *_ = section.tables.values()
    assert [cell.best for cell in rows[2].cells] == [True, False]
    assert len(section.pictures) == 5
    helps, open_ = said.index("less error than the same network without"), said.index("cannot be told from the same")
    assert said.index("1 h: +1.0 % (0.5 to 1.5)") in range(helps, open_)
    assert said.count("Told the coming wind, MLP") == 2  # copying is told no wind
    assert [column.heading for column in next(iter(section.tables.values()))[0]] == ["30 min", "1 h"]


def test_a_loss_is_called_a_loss(layout):
    write(layout, {1: (-4.0, -2.0), 2: (-9.0, -3.0)})
    (section,) = read_foresight(layout)
    said = " ".join(section.said)
    assert "is worse than damped persistence" in said
    assert "better" not in said


def test_a_missing_table_is_named_and_no_study_has_no_section(layout, tmp_path):
    with pytest.raises(InputError, match="snakemake foresight"):
        read_foresight(layout)
    assert read_foresight(tiny_experiment(tmp_path / "other")[1]) == []


def test_names_in_words():
    assert label("mlp_3x3_no_wind") == "MLP, 3 x 3 patches, without wind"
    assert label("copy") == "copy"
