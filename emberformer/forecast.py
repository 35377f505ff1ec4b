"""Forecast of one new fire: its newest frames and its terrain pass the backbone once, then the network runs ahead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from rasterio import Affine

from emberformer.checkpoint import load_model
from emberformer.data.fires import Band, FireSource, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.new_fire import NewFire
from emberformer.dataset import Step
from emberformer.dataset_settings import DatasetSettings
from emberformer.errors import InputError
from emberformer.feature_key import content_digest, features_key
from emberformer.features.extraction import choose_device, extract
from emberformer.features.plan import make_plan
from emberformer.features.store import write_index
from emberformer.forecast_store import valid_times
from emberformer.landscape import Landscape
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.outputs.fire_forecast import fire_forecast
from emberformer.outputs.members import write_member_files
from emberformer.outputs.writing import PROBABILITIES, check_wanted, refuse_foreign_files, write_outputs
from emberformer.provenance import provenance
from emberformer.rollout import make_rollout
from emberformer.settings import FeatureSettings, ForecastSettings, Settings
from emberformer.step_forecasts import forecast_steps, rollout_inputs

if TYPE_CHECKING:  # training's libraries take seconds to load, and a forecast without members needs none of them
    from emberformer.arrival_leads import FutureSet
    from emberformer.ensemble.checkpoint import EnsembleModel


@dataclass(frozen=True)
class LoadedModel:
    """A trained network, with what must be known to give it a fire.

    Args:
        checkpoint: its file.
        model: the network, in evaluation mode.
        sizes: of the data that it takes.
        settings: that it was trained with.
        about: the checkpoint's remaining entries, see `load_model`.
    """

    checkpoint: Path
    model: SpreadNetwork
    sizes: Sizes
    settings: Settings
    about: dict[str, Any]

    @classmethod
    def load(cls, checkpoint: Path) -> LoadedModel:
        """Read a `model.ckpt`.

        Raises:
            InputError: there is none, or its network takes what a new fire does not tell.
        """
        trained = cls(checkpoint, *load_model(checkpoint))
        if trained.sizes.conditions is not None or not all(of.stays_burned for of in trained.datasets):
            found = "a network of fires that go out, or of rasters that change from frame to frame"
            remedy = "train on burned areas for it; `emberformer hindcast` forecasts the fires of such data sets"
            raise InputError(checkpoint, found, "one of burned areas, terrain and wind", remedy)
        return trained

    @property
    def datasets(self) -> list[DatasetSettings]:
        """Data sets that it was trained on."""
        of = self.settings
        return [one for name, one in of.datasets.items() if name not in of.split.test_landscapes]


def forecast_fire(
    trained: LoadedModel,
    source: FireSource,
    winds: Float[np.ndarray, "L 2"],
    told: ForecastSettings,
    device: str = "auto",
    ensemble: EnsembleModel | None = None,
) -> tuple[xr.Dataset, FutureSet | None]:
    """Probability that a pixel is burned at each lead time, from the newest frame of a fire on.

    Args:
        trained: the network.
        source: the fire, its history and its terrain; of several fires the first.
        winds: towards east and north, m/s, of each step to forecast.
        told: how a rollout goes on; `leads` follows from the winds.
        device: auto, cpu, cuda or cuda:N.
        ensemble: one that starts from this network; None: no members are drawn.

    Returns:
        A forecast of one fire (`emberformer.outputs.fire_forecast`), and the futures on its raster.

    Raises:
        InputError: the backbone cannot be had, or has other weights than the network was trained on.
    """
    of, where = trained.settings, choose_device(device)
    told = told.model_copy(update={"leads": len(winds)})
    with _landscape(newest(source, of.model.history), trained.sizes, of.features, where) as landscape:
        trained.sizes.require_backbone(landscape.identity, trained.checkpoint)
        rollout = make_rollout(
            trained.model.to(where), of.model.lead_times, landscape, of.features, told, where,
            trained.about["calibration"],
        )  # fmt: skip
        steps = [Step(0, 0, int(landscape.row_size[0]) - 1)]
        batch = rollout_inputs(rollout, landscape, steps, of.model).__getitems__([0])
        (probability,) = forecast_steps(rollout, landscape, steps, batch, winds[None], of.model, where)
        burned, members = landscape.fires.burned[-1].values, None
        if ensemble is not None:
            from emberformer.ensemble.new_fire import futures_of_new_fire
            from emberformer.ensemble.prior import Prior

            prior = Prior(trained.model, trained.about["calibration"], len(winds))
            members = futures_of_new_fire(ensemble, prior, landscape, winds, where)
    fire = source.fires[0]
    ground = source.grounds[fire.window.ground]
    transform = Affine(*ground.transform)
    transform @= Affine.translation(fire.window.column, fire.window.row)
    init = fire.valid_time[-1].astype("datetime64[s]")
    found = fire_forecast(
        probability,
        burned,
        y=transform.f + transform.e * (np.arange(burned.shape[0]) + 0.5),
        x=transform.c + transform.a * (np.arange(burned.shape[1]) + 0.5),
        crs=ground.crs_wkt,
        init_time=init,
        valid_time=valid_times(init, source.seconds_per_frame, len(winds)),
        wind=winds,
        attributes=_described(trained, source, told),
    )
    return found, members


def _described(trained: LoadedModel, source: FireSource, told: ForecastSettings) -> dict[str, Any]:
    """Attributes of a forecast."""
    fire_id, about = source.fires[0].fire_id, trained.about
    return {
        "fire_id": fire_id,
        "method": f"{trained.settings.name}, {about['phase']}, seed {about['seed']}",
        "model_hash": content_digest(trained.checkpoint)[:16],
        "title": f"Forecast of {fire_id}",
        "seconds_per_frame": source.seconds_per_frame,
        "provenance": {
            **provenance(), "trained": about["provenance"], "source": dict(source.provenance),
            "forecast": told.model_dump(mode="json"),
        },
    }  # fmt: skip


def forecast_files(
    trained: LoadedModel,
    fire: NewFire,
    told: ForecastSettings,
    folder: Path,
    probabilities: Sequence[float] | None = None,
    formats: Sequence[str] | None = None,
    device: str = "auto",
    ensemble: Path | None = None,
    members: int | None = None,
) -> dict[str, Path]:
    """Forecast a new fire and write the files that docs/forecast-files.md describes.

    Args:
        trained: the network.
        fire: as `read_new_fire` gives it.
        told: how a rollout goes on.
        folder: to write.
        probabilities: of the perimeters; None: the writers' own.
        formats: which of `emberformer.outputs.writing.FORMATS`; None: the usual ones.
        device: auto, cpu, cuda or cuda:N.
        ensemble: checkpoint of an ensemble that starts from this network, whose members go to the folder's `members`.
        members: how many futures the ensemble draws; None: as many as it was trained to be drawn with.

    Returns:
        What a file holds -> the file.

    Raises:
        InputError: see `forecast_fire` and `write_outputs`.
    """
    told_probabilities = probabilities or PROBABILITIES
    check_wanted(folder, told_probabilities, formats)
    of_members = folder.with_name(f"{folder.name}_members")
    if ensemble is not None:
        refuse_foreign_files(of_members)
    variables = list(fire.source.weather_variables)
    winds = fire.lead_weather[:, [variables.index("wind_u"), variables.index("wind_v")]]
    futures = None if ensemble is None else ensemble_of(trained, ensemble, len(winds), members)
    found, drawn = forecast_fire(trained, fire.source, winds, told, device, futures)
    found.attrs["provenance"]["notes"] = list(fire.notes)
    bands = [band.name for band in fire.source.bands]
    elevation = None
    if "elevation" in bands:
        elevation = fire.source.terrain(fire.source.fires[0].window)[bands.index("elevation")]
    files = write_outputs(found, folder, probabilities=told_probabilities, elevation=elevation, formats=formats)
    if drawn is not None:
        shared = found.assign(probability=(found.probability.dims, drawn.burn_probability))
        files |= write_member_files(shared, drawn.arrival_lead, of_members)
    return files


def ensemble_of(trained: LoadedModel, checkpoint: Path, leads: int, members: int | None = None) -> EnsembleModel:
    """A trained ensemble for a network, to be drawn as it was learned: the share of its members is a probability.

    Raises:
        InputError: it starts from another network, tells other leads, or was trained with a text.
    """
    from emberformer.ensemble.checkpoint import ensemble_settings, load_ensemble

    ensemble = load_ensemble(checkpoint)
    of = ensemble_settings(ensemble.settings, checkpoint)
    if ensemble.about["parent"] not in (None, content_digest(trained.checkpoint)):
        remedy = "name the network that it was trained on, by --model or --config with --phase and --seed"
        raise InputError(checkpoint, f"an ensemble of another network than {trained.checkpoint}", "its own", remedy)
    if of.leads != leads:
        raise InputError("--leads", str(leads), f"{of.leads}, as the ensemble tells", f"use --leads {of.leads}")
    if ensemble.text_features is not None:
        remedy = "train an ensemble without `text` for new fires"
        raise InputError(checkpoint, "an ensemble that is told a text", "one without", remedy)
    drawn = of.drawn_as_learned.model_copy(update={"members": members or of.members})
    return replace(ensemble, settings=ensemble.settings.model_copy(update={"ensemble": drawn}))


def model_bands(trained: LoadedModel, given: Sequence[str] = ()) -> tuple[Band, ...]:
    """Bands of the terrain that a model takes.

    Args:
        trained: the network.
        given: words of `--terrain`; `@UNIT` in one says whose codes a categorical band has, if several are known.

    Raises:
        InputError: a band has several units, and none is given.
    """
    normaliser = trained.sizes.normaliser
    units = {name: unit for of in trained.datasets for name, unit in of.band_units.items()}
    found = [Band(name, "continuous", units[name]) for name in normaliser.continuous]
    found += [Band(name, "angle", "deg") for name in normaliser.angles]
    found += [Band(name, "binary", "1") for name in normaliser.binary]
    of_codes: dict[str, list[str]] = {}
    for key in normaliser.codes:
        name, unit = key.split("|", 1)
        of_codes.setdefault(name, []).append(unit)
    for name, known in of_codes.items():
        said = [unit for unit in known if any(w.startswith(f"{name}=") and w.endswith(f"@{unit}") for w in given)]
        if len(known) > 1 and not said:
            raise InputError(
                f"--terrain {name}", "no unit", f"one of {', '.join(known)}, which the model knows",
                f"say whose codes they are: --terrain {name}=FILE@{known[0]}",
            )  # fmt: skip
        found.append(Band(name, "categorical", (said or known)[0]))
    return tuple(found)


def trained_minutes(trained: LoadedModel) -> float:
    """Length of a step in the data that a model was trained on.

    Raises:
        InputError: data of several lengths.
    """
    minutes = sorted({of.minutes_per_frame for of in trained.datasets})
    if len(minutes) > 1:
        found = ", ".join(f"{one:g}" for one in minutes)
        raise InputError("--minutes", f"steps of {found} minutes in training", "one of them", "say which")
    return minutes[0]


def newest(source: FireSource, history: int) -> FireSource:
    """The first fire of a source alone, with the frames that a network looks at."""
    fire = source.fires[0]
    count = len(fire.valid_time)
    first = max(0, count - history)
    kept = replace(fire, weather=fire.weather[first:], valid_time=fire.valid_time[first:])
    return replace(source, fires=(kept,), frames=list(itertools.islice(source.frames, first, count)))


@contextmanager
def _landscape(
    source: FireSource, sizes: Sizes, features: FeatureSettings, device: torch.device
) -> Iterator[Landscape]:
    """Stores of a fire in a temporary folder, by the same path as those of a data set."""
    with TemporaryDirectory() as folder:
        fires_path, store = Path(folder, "fires.zarr"), Path(folder, f"{features_key(features)}.zarr")
        write_fires(fires_path, source)
        fires = open_fires(fires_path)
        make_plan(fires, store, features.window)
        extract(store, fires, features, 0, 1, device=str(device))
        write_index(store, fires)
        yield Landscape(source.dataset, fires_path, store, sizes.normaliser, sizes.channels, features_key(features))
