"""A small experiment for the tests of the report: squares that grow by hand, and tables with chosen numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from emberformer.data.fires import Band, Fire, FireSource, Frame, Ground, Window, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.forecast_store import ForecastBlock, write_forecasts
from emberformer.layout import Layout
from emberformer.report.scoreboard import Scoreboard, read_scoreboard
from emberformer.settings import Settings

SIDE, FRAMES = 40, 4
TRANSFORM = (30.0, 0.0, 1000.0, 0.0, -30.0, 9000.0)
HALF_WIDTHS = (1, 2, 6, 7)  # of the burned square at each frame: most burns from frame 1 to 2
FIRES = {"fire_1": "train", "fire_2": "validation", "fire_3": "test", "fire_4": "test", "fire_5": "test"}
AVERAGE_PRECISION = {"fire_3": 0.71, "fire_4": 0.93, "fire_5": 0.42}
NOTE = "Whole frames, no crop; pixels unknown at either time ignored."
MODEL, THRESHOLD = "emberformer-seed-0", 0.3
CALIBRATION = {"low": 0.9, "high": 1.44, "offset": -0.87}
SCORES = {  # method -> AP, then the scores at a threshold, Brier score and ECE, these before calibration, of perimeters
    MODEL: (0.812, 0.745, 0.6, 0.7, 0.8, 1.1, 0.0123, 0.0045, 0.0131, 0.0062, 0.66, 61.0, 1.2),
    "persistence": (0.05, 0.0, 0.0, np.nan, 0.0, 0.2, 0.05, 0.05, np.nan, np.nan, 0.0, 150.0, 0.0),
    "distance": (0.5, 0.45, 0.3, 0.4, 0.5, 1.3, np.nan, np.nan, np.nan, np.nan, 0.4, 90.0, 0.9),
}
WIND_F1 = {  # method -> class of wind -> new-fire F1
    MODEL: {"<3.4": 0.61, "3.4-5.5": 0.7, ">=8": 0.8},
    "persistence": {"<3.4": 0.0, "3.4-5.5": 0.0, ">=8": 0.0},
    "distance": {"<3.4": 0.4, "3.4-5.5": 0.3, ">=8": 0.2},
}
METRICS = (
    "average_precision", "f1", "iou", "precision", "recall", "frequency_bias", "brier", "ece", "brier_as_trained",
    "ece_as_trained", "boundary_f1", "hausdorff_95_m", "perimeter_ratio",
)  # fmt: skip
AT_VALIDATION = METRICS[10:]


def burned(frame: int) -> np.ndarray:
    """A square around pixel (20, 20)."""
    area, half = np.zeros((SIDE, SIDE), np.uint8), HALF_WIDTHS[frame]
    area[20 - half : 20 + half + 1, 20 - half : 20 + half + 1] = 1
    return area


def write_synthetic_fires(path: Path) -> None:
    times = np.datetime64("2021-02-03T10:00:00") + np.arange(FRAMES) * np.timedelta64(30, "m")
    weather = np.full((FRAMES, 2), [3.0, 4.0], np.float32)
    fires = tuple(Fire(name, Window(0, 0, SIDE, SIDE), weather, times.astype("datetime64[s]")) for name in FIRES)
    row, column = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    fuel = np.where(column < 20, 102, 183).astype(np.float32)
    burnable = np.where(row > 36, np.nan, 1).astype(np.float32)
    bands = (
        Band("elevation", "continuous", "m"),
        Band("fuel_model", "categorical", "1"),
        Band("burnable", "binary", "1"),
    )
    source = FireSource(
        dataset="valley",
        fires=fires,
        frames=(Frame(burned(frame), None) for _ in FIRES for frame in range(FRAMES)),
        bands=bands,
        grounds=(Ground("", TRANSFORM, lambda _: np.stack([100 + 5 * row, fuel, burnable])),),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=30.0,
        seconds_per_frame=1800.0,
    )
    write_fires(path, source)


def write_synthetic_forecasts(path: Path, method: str, fires: xr.Dataset) -> None:
    """The model widens the square by two pixels with probability 0.6; the rivals say nothing new."""

    def blocks():
        times = fires.valid_time.values[:FRAMES].astype("datetime64[s]")
        for name, split in FIRES.items():
            for step in range(FRAMES - 1) if split != "train" else ():
                half = HALF_WIDTHS[step] + 2
                probability = np.zeros((1, SIDE, SIDE), np.float32)
                probability[0, 20 - half : 20 + half + 1, 20 - half : 20 + half + 1] = 0.6 * (method == MODEL)
                probability[0, burned(step) == 1] = 1
                yield ForecastBlock(name, split, step, times[step], times[step + 1 : step + 2], probability)

    write_forecasts(
        path,
        blocks(),
        method=method,
        dataset="valley",
        score_kind="score" if method == "distance" else "probability",
        shape=(1, SIDE, SIDE),
        provenance={"emberformer": "0.1.0", "commit": "c0ffee"},
        sees_target_wind=method == MODEL,
    )


def write_tables(folder: Path, differences: dict[str, tuple[float, float, float]]) -> None:
    """The tables of the evaluation; `differences` are value, low and high for each baseline, AP and F1 alike."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"n_fires": 3, "n_steps": 9}
    scores = []
    for method, values in SCORES.items():
        for metric, value in zip(METRICS, values, strict=True):
            thresholds = ("validation", "0.5") if metric in METRICS[1:6] else ("",)
            for threshold in ("validation",) if metric in AT_VALIDATION else thresholds:
                for region in ("new", "whole"):
                    for history in ("all", "1", "2", "3", "4", "5"):
                        row = {"method": method, "dataset": "all", "split": "test", "lead": 1, "history": history}
                        row |= {"region": region, "threshold": threshold, "metric": metric, "value": value}
                        row |= {
                            "low": value - 0.01,
                            "high": value + 0.02,
                            **sizes,
                            "prevalence": 0.0321,
                            "seed_sd": None,
                        }
                        scores.append(row)
    compared = [
        {"method": MODEL, "baseline": baseline, "dataset": "all", "lead": 1, "region": "new", "threshold": threshold}
        | {"metric": metric, "value": value, "low": low, "high": high, **sizes}
        for baseline, (value, low, high) in differences.items()
        for metric, threshold in (("average_precision", ""), ("f1", "validation"))
    ]
    per_fire = [
        {"method": MODEL, "dataset": "valley", "fire_id": name, "lead": 1, "n_steps": 3, "average_precision": value}
        for name, value in AVERAGE_PRECISION.items()
    ]
    strata = [
        {"method": method, "dataset": "all", "split": "test", "lead": 1, "stratum": "wind_m_s", "class_name": name}
        | {"region": "new", "threshold": "validation", "metric": "f1", "value": value, "low": value - 0.01}
        | {"high": value + 0.02, "n_fires": 9}
        for method, values in WIND_F1.items()
        for name, value in values.items()
    ]
    edges = np.linspace(0, 1, 16)
    reliability = pd.DataFrame(
        {"method": MODEL, "dataset": "all", "region": "new", "lower": edges[:-1], "upper": edges[1:]}
        | {"mean_forecast": edges[:-1] + 0.03, "observed_frequency": edges[:-1], "n_pixels": 100}
        | {"lead": 1, "calibration": "as forecast"}
    )
    before = reliability.assign(calibration="as trained", observed_frequency=edges[:-1] ** 1.4)
    reliability = pd.concat([reliability, before])
    pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
    pd.DataFrame(compared).to_csv(folder / "differences.csv", index=False)
    pd.DataFrame(strata).to_csv(folder / "strata.csv", index=False)
    pd.DataFrame(per_fire).to_csv(folder / "per_fire.csv", index=False)
    reliability.to_csv(folder / "reliability.csv", index=False)
    of_model = {"threshold": THRESHOLD, "score_kind": "probability", "fitted": {"valley": None}}
    thresholds = {MODEL: of_model | {"calibration": {"valley": CALIBRATION}}}
    (folder / "thresholds.json").write_text(json.dumps(thresholds))
    (folder / "protocol.json").write_text(json.dumps({"note": NOTE}))


BETTER = {"persistence": (0.762, 0.7, 0.8), "distance": (0.312, 0.205, 0.411)}


def scoreboard(folder: Path, differences: dict[str, tuple[float, float, float]] = BETTER) -> Scoreboard:
    write_tables(folder, differences)
    return read_scoreboard(folder)


def write_experiment(folder: Path, weights: str = "random", curves: bool = True) -> tuple[Settings, Layout]:
    """Everything that the report reads."""
    content = {
        "name": "synthetic",
        "results": str(folder / "results"),
        "datasets": {"valley": {"root": "raw", "minutes_per_frame": 30, "bands": {"1": {"kind": "continuous"}}}},
        "features": {"weights": weights, "architecture": "dinov2-tiny"},
        "evaluation": {"baselines": ["persistence", "distance"]},
    }
    settings = Settings.model_validate(content)
    layout = Layout(settings)
    write_synthetic_fires(layout.fires("valley"))
    for method in layout.methods:
        write_synthetic_forecasts(layout.forecasts(method, "valley"), method, open_fires(layout.fires("valley")))
    write_tables(layout.scores, BETTER)
    layout.split.parent.mkdir(parents=True)
    layout.split.write_text(json.dumps({"by": "fire", "seed": 42, "fires": {"valley": FIRES}, "counts": {}}))
    layout.features("valley").mkdir(parents=True)
    attributes = {
        "key": layout.features("valley").stem,
        "model": "dinov2-tiny",
        "weights": weights,
        "weights_sha256": "5eed",
    }
    (layout.features("valley") / "zarr.json").write_text(json.dumps({"attributes": attributes}))
    if curves:
        rows = ["epoch,step,train/loss,val/loss,val/new_ap", "0,9,,0.5,0.2", "0,9,0.6,,", "1,19,,0.3,0.4", "1,19,0.4,,"]
        (layout.model(0) / "metrics.csv").write_text("\n".join(rows) + "\n")
    return settings, layout
