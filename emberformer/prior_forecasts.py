"""Forecasts that an ensemble learns from: a network's probabilities on the whole frames of the training fires.

A window of training does not show the fire that comes from outside it, and a network that sees the window alone
forecasts too little there. What it forecasts on whole frames does not depend on windows, and is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zarr
from jaxtyping import Float32

from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts


class PriorForecasts:
    """A network's forecasts of the fires of one data set.

    Args:
        path: forecast store of `emberformer ensemble prior`.
        fire_ids: of the fires store, in its order.
        leads: coming frames that are asked for.

    Raises:
        InputError: no store, or one that does not look so far ahead.
    """

    def __init__(self, path: Path, fire_ids: Sequence[str], leads: int):
        remedy = "run `emberformer ensemble prior` for this data set"
        if not (Path(path) / "zarr.json").is_file():
            raise InputError(path, "no store", "forecasts of the training fires", remedy)
        store = open_forecasts(path)
        if store.sizes["lead"] < leads:
            raise InputError(path, f"{store.sizes['lead']} leads", f"{leads} leads", remedy)
        self.path, self.leads, self._fire_ids = path, leads, list(fire_ids)
        self._values: zarr.Array = zarr.open_array(path, path="probability", mode="r")  # type: ignore[assignment]
        steps = zip(map(str, store.fire_id.values), map(int, store.init_step.values), strict=True)
        self._rows = {of: row for row, of in enumerate(steps)}

    def of(self, fire: int, step: int) -> Float32[np.ndarray, "K y x"]:
        """Probability that a pixel is burned after each coming frame; 0 where it is unknown whether it burns.

        Raises:
            InputError: the store has no such forecast.
        """
        name = self._fire_ids[fire]
        if (name, step) not in self._rows:
            expected = "every step of the training and validation fires"
            raise InputError(self.path, f"no forecast of {name} from step {step}", expected, "make the store again")
        values = np.asarray(self._values[self._rows[name, step], : self.leads], np.float32)
        return np.nan_to_num(values, nan=0.0)
