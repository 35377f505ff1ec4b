"""The 40 features of the WildfireSpreadTS protocol, in its order, and the sets that it compares.

    0-15   bands 0 to 15, standardised; of wind direction and aspect the sine
    16-32  land cover, one of 17 classes
    33-37  weather forecasts, standardised; of the wind direction the sine
    38     hour of the active fire, standardised
    39     whether there was a detection

References:
    Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03, and its code,
    https://github.com/SebastianGer/WildfireSpreadTS (`FireSpreadDataset.preprocess_and_augment`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from emberformer.data.wsts.bands import BANDS, PLACE
from emberformer.data.wsts.days import CLASSES
from emberformer.data.wsts.statistics import ANGLES, Statistics

_LANDCOVER = PLACE["landcover"]
FEATURES = (
    *(band.name for band in BANDS[:_LANDCOVER]),
    *(f"landcover_{number}" for number in range(1, CLASSES + 1)),
    *(band.name for band in BANDS[_LANDCOVER + 1 :]),
    "active_fire",
)
FORECASTS = tuple(place for place, name in enumerate(FEATURES) if name.startswith("forecast_"))
STATIC = tuple(
    place
    for place, name in enumerate(FEATURES)
    if name in ("slope_deg", "aspect_deg", "elevation") or name.startswith("landcover_")
)
VEGETATION = (*(FEATURES.index(name) for name in ("viirs_m11", "viirs_i2", "viirs_i1", "ndvi", "evi2")), 38, 39)
ALL = tuple(range(len(FEATURES)))
MULTI = tuple(
    place for place in ALL if place not in FORECASTS and FEATURES[place] not in ("energy_release_component", "pdsi")
)


def features(
    bands: Float32[np.ndarray, "day band y x"], statistics: Statistics
) -> Float32[np.ndarray, "day feature y x"]:
    """The 40 features of some days.

    In the order of the protocol: sine of the three directions, whether there is a fire, standardisation, 0 for what is
    unknown (the mean), one of 17 classes of land cover. Unknown land cover is 0 by then and, counted from the end,
    falls into the last class (water), as in the protocol's own code.

    Args:
        bands: the 23 bands in the source's units, NaN = unknown; the last is the hour of detection, 0 = none.
        statistics: of the training years.

    Returns:
        No NaN.
    """
    values = bands.copy()
    values[:, ANGLES] = np.sin(np.deg2rad(values[:, ANGLES]))
    active = (values[:, -1:] > 0).astype("float32")
    values = (values - statistics.mean[:, None, None]) / statistics.std[:, None, None]
    values = np.nan_to_num(values, nan=0.0)
    classes = values[:, _LANDCOVER].astype(int) - 1  # -1, the last, for unknown
    one_hot = np.moveaxis(np.eye(CLASSES, dtype="float32")[classes], -1, 1)
    return np.concatenate([values[:, :_LANDCOVER], one_hot, values[:, _LANDCOVER + 1 :], active], axis=1)


def flattened(
    of_days: Float32[np.ndarray, "day feature y x"], kept: Sequence[int] = ALL
) -> Float32[np.ndarray, "channel y x"]:
    """Features of all days as channels of one image, what does not change only once, with the last day.

    Args:
        of_days: the 40 features of each day, the newest last.
        kept: features that are used, such as `MULTI`.

    Returns:
        The changing features of the first day, of the second and so on; then all kept ones of the last day.
    """
    changing = [place for place in kept if place not in STATIC]
    before = of_days[:-1, changing]
    return np.concatenate([before.reshape(-1, *before.shape[2:]), of_days[-1, list(kept)]])
