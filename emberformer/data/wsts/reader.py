"""Reader of WildfireSpreadTS: daily active fires with their weather, vegetation and terrain, as a fires store has them.

A frame is a day; `burned` shows where a satellite saw fire on it, which may have gone out the day after. What changes
from day to day is a condition of that day's frame, and the wind of a frame is the mean of its day, so that nothing of
the day to be forecast is known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, Fire, FireSource, Frame, Ground, Window
from emberformer.data.source_provenance import source_provenance
from emberformer.data.weather import FIRST_TIME
from emberformer.data.wsts.bands import BANDS, CONDITION_PLACES, TERRAIN_PLACES
from emberformer.data.wsts.days import CELL_M, SourceFire
from emberformer.data.wsts.finding import find_fires
from emberformer.data.wsts.survey import SurveyedFire, survey
from emberformer.errors import InputError
from emberformer.settings import expand
from emberformer.wsts_settings import WildfireSpreadTSSettings

log = logging.getLogger(__name__)
DAY = np.timedelta64(1, "D")
NO_DAY = -1  # of a frame that stands for a day without a file


def read_wsts(dataset: str, settings: WildfireSpreadTSSettings) -> FireSource:
    """Look through a data set and make its pixels ready to be read a second time.

    Raises:
        InputError: naming the first file that does not fit, if such fires are not skipped; no fire can be used.
    """
    root = expand(settings.root)
    paths, left_out = find_fires(root, settings)
    surveyed, skipped = survey(dataset, paths, settings.on_error, settings.missing_attributes)
    if not surveyed:
        found, remedy = f"{len(paths)} fires, none that can be used", "see the warnings; check `root` of the data set"
        raise InputError(root, found, "at least one fire of two days", remedy)
    _warn(dataset, surveyed, left_out)
    fires = [one.fire for one in surveyed]
    height, width = (max(fire.shape[axis] for fire in fires) for axis in (0, 1))
    days = [days_of_frames(fire, settings.missing_days == "unknown") for fire in fires]
    return FireSource(
        dataset=dataset,
        fires=tuple(
            Fire(one.fire.fire_id, Window(0, 0, height, width, ground), _wind_of(one, of_frames), times)
            for ground, (one, (of_frames, times)) in enumerate(zip(surveyed, days, strict=True))
        ),
        frames=_read_frames(dataset, fires, [of_frames for of_frames, _ in days], (height, width)),
        bands=tuple(BANDS[place] for place in TERRAIN_PLACES),
        grounds=tuple(Ground(fire.crs_wkt, fire.transform, partial(_read_terrain, fire)) for fire in fires),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=CELL_M,
        seconds_per_frame=60 * settings.minutes_per_frame,
        closes_gaps=settings.missing_days == "skip",
        fire_kind="active",
        conditions=tuple(BANDS[place] for place in CONDITION_PLACES),
        fires_skipped=skipped,
        provenance=_provenance(settings, fires, left_out),
    )


def days_of_frames(fire: SourceFire, missing_as_unknown: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which day of the source each frame shows, and its time.

    Args:
        fire: a fire whose dates rise.
        missing_as_unknown: whether a date without a day, between two with one, gets a frame.

    Returns:
        Number of the day, from 0, or `NO_DAY` [frame]; its date at midnight, datetime64[s] [frame], counted from
        1970-01-01 where the source tells none.
    """
    days = np.arange(fire.days)
    if fire.dates is None:
        return days, FIRST_TIME + days * DAY
    if not missing_as_unknown:
        return days, fire.dates.astype("datetime64[s]")
    all_dates = np.arange(fire.dates[0], fire.dates[-1] + DAY)
    shown = np.full(len(all_dates), NO_DAY)
    shown[np.searchsorted(all_dates, fire.dates)] = days
    return shown, all_dates.astype("datetime64[s]")


def _wind_of(surveyed: SurveyedFire, days: np.ndarray) -> Float32[np.ndarray, "frame 2"]:
    return np.where((days == NO_DAY)[:, None], np.float32(np.nan), surveyed.wind[days])


def _read_frames(
    dataset: str, fires: Sequence[SourceFire], days: Sequence[np.ndarray], size: tuple[int, int]
) -> Iterator[Frame]:
    nothing = Frame(np.full(size, UNKNOWN, "uint8"), None, np.full((len(CONDITION_PLACES), *size), np.nan, "float32"))
    for fire, of_frames in tqdm(list(zip(fires, days, strict=True)), desc=f"ingest {dataset}", unit="fire"):
        for number in of_frames:
            if number == NO_DAY:
                yield nothing
                continue
            day = fire.read(int(number))
            yield Frame(
                padded(day.burned[None], size, UNKNOWN)[0], None, padded(day.bands[CONDITION_PLACES], size, np.nan)
            )


def _read_terrain(fire: SourceFire, window: Window) -> Float32[np.ndarray, "band y x"]:
    return padded(fire.read(0).bands[TERRAIN_PLACES], (window.height, window.width), np.nan)


def padded(values: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    """Rasters [band, y, x] with rows below and columns to the right that bring them to a size."""
    rows, columns = size[0] - values.shape[1], size[1] - values.shape[2]
    return np.pad(values, ((0, 0), (0, rows), (0, columns)), constant_values=fill)


def _warn(dataset: str, surveyed: Sequence[SurveyedFire], left_out: Sequence[str]) -> None:
    """Say what was found that a reader of the results should know."""
    told = {
        "have no dates; their days are counted from 1970-01-01, and gaps between them cannot be seen": [
            one.fire.dates is None for one in surveyed
        ],
        "have no place; maps of them have no coordinate reference system": [not one.fire.crs_wkt for one in surveyed],
        "have terrain that changes from day to day; that of the first day is stored": [
            one.terrain_changes for one in surveyed
        ],
    }
    for words, of_fires in told.items():
        if any(of_fires):
            first = surveyed[of_fires.index(True)].fire.fire_id
            log.warning("%s: %d fires (first %s) %s", dataset, sum(of_fires), first, words)
    if left_out:
        log.warning("%s: not read because it is not named fire_...: %s", dataset, ", ".join(left_out))


def _provenance(
    settings: WildfireSpreadTSSettings, fires: Sequence[SourceFire], left_out: Sequence[str]
) -> dict[str, object]:
    from_files = fires[0].path.is_dir()
    return {
        **source_provenance(settings),
        "place": "of the GeoTIFFs" if from_files else "approximate: UTM zone of the longitude of the raster's centre",
        "fires_without_dates": [fire.fire_id for fire in fires if fire.dates is None],
        "fires_without_place": [fire.fire_id for fire in fires if not fire.crs_wkt],
        "left_out": list(left_out),
    }
