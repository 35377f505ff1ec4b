"""The map of `channel_map: pca3`: principal components of the terrain's channels over the training fires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float32, Float64

from emberformer.data.fires import bands_of
from emberformer.errors import InputError
from emberformer.features.channel_map import COLOURS, Projection, is_of_angle
from emberformer.features.rendering import render_terrain, terrain_channels

SPREAD = 6.0  # standard deviations of a component that an image's range from 0 to 1 shows


def fit_channels(fires: Mapping[str, xr.Dataset], split: Mapping[str, Mapping[str, str]]) -> Projection:
    """Fit on the rendered terrain of all training fires, each window once.

    Args:
        fires: fires stores by data set.
        split: split of every fire, by data set.

    Raises:
        InputError: there is no training fire.
    """
    channels = list(
        dict.fromkeys(channel for store in fires.values() for channel in terrain_channels(*bands_of(store)))
    )
    windows = [
        (store, index)
        for name, store in fires.items()
        for index in sorted({
            int(index)
            for fire, index in zip(store.fire_id.values, store.terrain_index.values, strict=True)
            if split[name].get(str(fire)) == "train"
        })
    ]  # fmt: skip
    if not windows:
        raise InputError("features fit-channels", "no training fire", "some", "change `split` or add fires")
    weight, bias = principal_map(channels, _rendered(windows, channels))
    told = f"{len(windows)} terrain windows of the training fires of {', '.join(fires)}"
    training = {name: sorted(fire for fire, of in split[name].items() if of == "train") for name in fires}
    return Projection("pca3", tuple(channels), tuple(map(tuple, weight.tolist())), tuple(bias.tolist()), told, training)


def _rendered(
    windows: Sequence[tuple[xr.Dataset, int]], channels: Sequence[str]
) -> Iterator[Float32[np.ndarray, "K H W"]]:
    """Images of windows, 0 for a channel that a data set lacks."""
    for store, index in windows:
        bands, kinds = bands_of(store)
        own = render_terrain(store.terrain[index].values, kinds)
        image = np.zeros((len(channels), *own.shape[1:]), np.float32)
        image[[channels.index(channel) for channel in terrain_channels(bands, kinds)]] = own
        yield image


def principal_map(
    channels: Sequence[str], windows: Iterable[Float32[np.ndarray, "K _ _"]]
) -> tuple[Float64[np.ndarray, "3 K"], Float64[np.ndarray, " 3"]]:
    """The first three principal components, each stretched so that 6 standard deviations fill [0, 1].

    y_j = 1/2 + v_j (x - mean) / (6 s_j), with v_j of largest entry > 0 and s_j the component's standard deviation; a
    component without spread is 1/2 everywhere. Angles are left out: an image that mixes them in could not be turned.

    Args:
        channels: names of all channels.
        windows: rendered images, one at least.

    Returns:
        Weights and bias of the three colours.

    References:
        Pearson (1901), doi:10.1080/14786440109462720.
    """
    kept = [n for n, channel in enumerate(channels) if not is_of_angle(channel)]
    count, total, second = 0, np.zeros(len(kept)), np.zeros((len(kept), len(kept)))
    for window in windows:
        values = window[kept].reshape(len(kept), -1).astype(np.float64)
        count, total, second = count + values.shape[1], total + values.sum(1), second + values @ values.T
    mean = total / count
    variance, directions = np.linalg.eigh(second / count - np.outer(mean, mean))
    weight, bias = np.zeros((COLOURS, len(channels))), np.full(COLOURS, 0.5)
    for colour, of in enumerate(np.argsort(variance)[::-1][:COLOURS]):
        if variance[of] > 1e-12:
            direction = directions[:, of] * np.sign(directions[np.abs(directions[:, of]).argmax(), of])
            weight[colour, kept] = direction / (SPREAD * np.sqrt(variance[of]))
            bias[colour] -= weight[colour, kept] @ mean
    return weight, bias
