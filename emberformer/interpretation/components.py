"""Patch features as colours: their first three principal components, of frames and of each terrain band.

Patches of one colour have similar features: what of fire and ground the backbone tells apart shows as colours.

Reference: Oquab et al. (2023), DINOv2, arXiv:2304.07193, section 7.6 and figure 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emberformer.dataset import Step
from emberformer.interpretation.subject import Subject

COMPONENTS = 3
CONTRAST = (2, 98)  # percentiles that become dark and bright


class FeatureImage(NamedTuple):
    """A raster and its patches' features as colours; `group` was decomposed together."""

    name: str
    group: str
    raster: Float[np.ndarray, "H W"]
    colours: Float[np.ndarray, "Gy Gx 3"]


def component_colours(features: Float[np.ndarray, "K Gy Gx D"]) -> tuple[Float[np.ndarray, "K Gy Gx 3"], np.ndarray]:
    """First three principal components of patch features, as colours from 0 to 1.

    Each component has the sign in which its largest loading is positive; it is stretched from its 2nd to its 98th
    percentile. A component without variance is grey.

    Returns:
        Colours, and the share of the variance of each component (0 where there is none).
    """
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    flat = flat - flat.mean(0)
    _, strength, loadings = np.linalg.svd(flat, full_matrices=False)
    loadings = loadings[:COMPONENTS]
    signs = np.sign(loadings[np.arange(len(loadings)), np.abs(loadings).argmax(1)])
    scores = flat @ (loadings * signs[:, None]).T
    scores = np.pad(scores, ((0, 0), (0, COMPONENTS - scores.shape[1])))
    low, high = np.percentile(scores, CONTRAST, axis=0)
    spread = high - low
    flat_out = spread <= 1e-9 * max(float(np.abs(flat).max()), 1e-30)
    colours = np.where(flat_out, 0.5, np.clip((scores - low) / np.where(flat_out, 1, spread), 0, 1))
    variance = np.pad(strength**2, (0, COMPONENTS))[:COMPONENTS]
    total = float((strength**2).sum())
    return colours.reshape(*features.shape[:3], COMPONENTS), variance / total if total else np.zeros(COMPONENTS)


def feature_images(subject: Subject) -> tuple[list[FeatureImage], pd.DataFrame]:
    """Frames and terrain bands of one step, as the network gets them.

    The step is the one with a full history in the middle of all. Frames are decomposed together, so that equal colours
    are equal features; each terrain band by itself.

    Returns:
        The images, and a table of the explained shares of variance. Both empty for a network without such features.
    """
    step = _middle_step(subject)
    (batch,) = subject.batches([[step]], "features")
    images: list[FeatureImage] = []
    shares = []
    if "frame_patches" in batch.inputs:
        seen = subject.frames_seen(step)
        colours, share = component_colours(batch.inputs["frame_patches"][0, -seen:].float().cpu().numpy())
        shares.append({"image": "frames", **_named(share)})
        landscape = subject.landscape
        row = int(landscape.row_start[step.fire]) + step.step
        rasters = landscape.burned(step.fire, range(row - seen + 1, row + 1))
        frames = range(step.step - seen + 1, step.step + 1)
        images += [
            FeatureImage(f"frame {number}", "frames", np.where(raster == 1, 1.0, 0.0), colour)
            for number, raster, colour in zip(frames, rasters, colours, strict=True)
        ]
    if "terrain_patches" in batch.inputs:
        tokens = batch.inputs["terrain_patches"][0].float().cpu().numpy()
        for number, channel in enumerate(subject.sizes.channels):
            colours, share = component_colours(tokens[number : number + 1])
            shares.append({"image": channel, **_named(share)})
            images.append(FeatureImage(channel, "terrain", _terrain(subject, step, channel), colours[0]))
    columns = ["image", *(f"share_{n + 1}" for n in range(COMPONENTS))]
    return images, pd.DataFrame(shares, columns=columns)


def _named(share: np.ndarray) -> dict[str, float]:
    return {f"share_{n + 1}": float(value) for n, value in enumerate(share)}


def _middle_step(subject: Subject) -> Step:
    most = max(subject.frames_seen(step) for step in subject.steps)
    full = [step for step in subject.steps if subject.frames_seen(step) == most]
    return full[len(full) // 2]


def _terrain(subject: Subject, step: Step, channel: str) -> np.ndarray:
    """The band behind a channel, in its own unit; an angle as its sine or cosine. NaN where the data lack it."""
    landscape, (band, _, part) = subject.landscape, channel.partition(".")
    bands = list(map(str, landscape.fires.band.values))
    shape = (landscape.fires.sizes["y"], landscape.fires.sizes["x"])
    if band not in bands:
        return landscape.cut(np.full(shape, np.nan), step.fire)
    values = landscape.fires.terrain[int(landscape.terrain_index[step.fire]), bands.index(band)].values
    values = {"sin": np.sin, "cos": np.cos}[part](np.deg2rad(values)) if part in ("sin", "cos") else values
    return landscape.cut(values.astype(np.float64), step.fire)
