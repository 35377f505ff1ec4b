"""Text embeddings of fires, such as those of an incident report by T5: one Zarr store a data set.

    tokens (fire, token, feature)   float, any encoder's hidden states, zero behind the text's end
    mask   (fire, token)            bool, true where a token is real
    fire_id (fire)                  as in the fires store; every fire of it, in any order

A fire without a text has a mask that is false everywhere; it is told one token of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32

from emberformer.errors import InputError

EXPECTED = "a Zarr store with tokens (fire, token, feature), mask (fire, token) and fire_id (fire)"
DIMENSIONS = {"tokens": ("fire", "token", "feature"), "mask": ("fire", "token"), "fire_id": ("fire",)}


class Texts:
    """Embeddings of the fires of one data set.

    Args:
        path: the store.
        fire_ids: of the fires store, in its order.

    Raises:
        InputError: no store, another form, a fire that it lacks, or a value that is no number.
    """

    def __init__(self, path: Path, fire_ids: Sequence[str]):
        remedy = "write it as docs/ensemble.md says"
        try:
            store = xr.open_zarr(path, consolidated=False)
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise InputError(path, f"no readable store: {error}", EXPECTED, remedy) from error
        found = {name: store[name].dims for name in DIMENSIONS if name in store.variables}
        if found != DIMENSIONS:
            raise InputError(path, str(found), EXPECTED, remedy)
        places = {str(fire_id): number for number, fire_id in enumerate(store.fire_id.values)}
        if missing := [fire_id for fire_id in fire_ids if fire_id not in places]:
            found = f"no text of {len(missing)} fires, such as {missing[0]}"
            raise InputError(path, found, "every fire of the data set", "add them, with a mask that is false")
        order = [places[fire_id] for fire_id in fire_ids]
        self.tokens: Float32[np.ndarray, "fire L E"] = store.tokens.values[order].astype(np.float32)
        self.mask: Bool[np.ndarray, "fire L"] = store.mask.values[order].astype(bool)
        silent = ~self.mask.any(1)
        self.tokens[silent] = 0
        self.mask[silent, 0] = True
        if not np.isfinite(self.tokens).all():
            raise InputError(path, "tokens with NaN or infinity", "numbers", "embed these texts again")

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens of a text and features of a token."""
        return self.tokens.shape[1], self.tokens.shape[2]

    def of(self, fire: int) -> dict[str, np.ndarray]:
        """`text [L E]` and `text_mask [L]` of a fire."""
        return {"text": self.tokens[fire], "text_mask": self.mask[fire]}
