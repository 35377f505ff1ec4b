"""Methods on two small data sets, how they are scored, and how a row of a table is found."""

import numpy as np

from emberformer.forecast_store import ForecastBlock, write_forecasts
from emberformer.settings import EvaluationSettings
from tests.small_fires import disc, small_fires, write_small_fires

SETTINGS = EvaluationSettings(replicates=100)
SIZES = {"hills": (14, 16), "plain": (10, 12)}
SPLITS = ("validation", "validation", "test", "test", "test")


def noisy(sharpness, seed):
    """Probability around what will burn: a method with some skill."""

    def values(observed, generator=None):
        noise = np.random.default_rng([seed, int(observed.sum())]).normal(size=observed.shape)
        return 1 / (1 + np.exp(-(sharpness * (observed - 0.7) + noise)))

    return values


METHODS = {
    "emberformer-seed-0": noisy(3.0, 0),
    "emberformer-seed-1": noisy(3.0, 1),
    "persistence": lambda observed: np.zeros(observed.shape),
    "distance": lambda observed: 5 * noisy(1.0, 2)(observed) - 20,
}


def write_fires(folder):
    paths = {}
    for number, (name, shape) in enumerate(SIZES.items()):
        rng = np.random.default_rng(number)
        fires = {
            f"sequence_{k:03d}": [disc(shape, rng.uniform(4, 6, 2), 0.5 + growth * t) for t in range(7)]
            for k, growth in enumerate([0.5, 0.9, 0.6, 1.0, 0.3])
        }
        for frames in fires.values():
            frames[:] = np.maximum.accumulate(np.stack(frames))
        paths[name] = write_small_fires(small_fires(fires, dataset=name), folder / f"{name}.zarr")
    return paths


def write_method(path, fires, method, dataset, steps=6, splits=SPLITS):
    kind = "score" if method == "distance" else "probability"
    blocks = []
    for fire in range(fires.sizes["fire"]):
        for step in range(steps):
            row = int(fires.row_start.values[fire]) + step
            burned, observed = (fires.burned[r].values for r in (row, row + 1))
            values = np.where(burned == 1, 1 if kind == "probability" else 0, METHODS[method](observed))
            times = fires.valid_time.values
            fire_id = fires.fire_id.values[fire]
            blocks.append(
                ForecastBlock(
                    fire_id, splits[fire], step, times[row], times[row + 1 : row + 2], values[None].astype("f4")
                )
            )
    write_forecasts(
        path, blocks, method=method, dataset=dataset, score_kind=kind, shape=(1, *SIZES[dataset]),
        provenance={"fitted": {"radius_px": 2.5} if method == "persistence" else {}}, sees_target_wind=False,
    )  # fmt: skip
    return path


def pick(table, **where):
    for column, value in where.items():
        table = table[table[column].isna()] if value is None else table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]
