"""The 23 bands of WildfireSpreadTS: what they are, in which unit, and where they stand in the fires store.

Values keep the source's units and scales, so that statistics can be compared with published ones. What is said of the
bands here follows from the code that made the data set
(https://github.com/SebastianGer/WildfireSpreadTSCreateDataset, `FirePred.py`) and from its sources:

    aspect_deg
        ee.Terrain.aspect of SRTM, degrees clockwise from north (0 north, 90 east). It points downslope:
        Google's own hillshade example (earthengine-api, python/examples) lights a slope by
        cos(azimuth of the sun - aspect) sin(slope), most where it faces the sun.
    wind_direction
        GRIDMET `th` (Abatzoglou 2013, doi:10.1002/joc.3413), degrees clockwise from north that the wind
        blows FROM.
    forecast_wind_direction
        not a compass direction: arctan(v / u) of the GFS wind, degrees anticlockwise from east, of the
        line the wind blows along. The quotient loses the quadrant, so -90 to 90 stands for two opposite
        winds and cannot be repaired; hence a continuous band and no angle, and no part of the wind vector.
    forecast_precipitation
        sum over the hours of GFS until 2019-11-07, then what had accumulated: the published means of 2018 and 2019
        and of 2020 and 2021 are 18.5 and 3.2.
    landcover
        MODIS MCD12Q1 LC_Type1, classes 1 to 17.

References:
    Gerard et al. (2023), WildfireSpreadTS: a dataset of multi-modal time series for wildfire spread prediction,
    NeurIPS Datasets and Benchmarks, https://openreview.net/forum?id=RgdGkPRQ03.
"""

from __future__ import annotations

from emberformer.data.fires import Band

BANDS = (
    Band("viirs_m11", "continuous", "1e-4"),
    Band("viirs_i2", "continuous", "1e-4"),
    Band("viirs_i1", "continuous", "1e-4"),
    Band("ndvi", "continuous", "1e-4"),
    Band("evi2", "continuous", "1e-4"),
    Band("precipitation", "continuous", "mm d-1"),
    Band("wind_speed", "continuous", "m s-1"),
    Band("wind_direction", "angle", "deg"),
    Band("temperature_min", "continuous", "K"),
    Band("temperature_max", "continuous", "K"),
    Band("energy_release_component", "continuous", "1"),
    Band("specific_humidity", "continuous", "kg kg-1"),
    Band("slope_deg", "continuous", "deg"),
    Band("aspect_deg", "angle", "deg"),
    Band("elevation", "continuous", "m"),
    Band("pdsi", "continuous", "1"),
    Band("landcover", "categorical", "1"),
    Band("forecast_precipitation", "continuous", "kg m-2"),
    Band("forecast_wind_speed", "continuous", "m s-1"),
    Band("forecast_wind_direction", "continuous", "deg"),
    Band("forecast_temperature", "continuous", "degC"),
    Band("forecast_specific_humidity", "continuous", "kg kg-1"),
    Band("active_fire_hour", "continuous", "h"),
)
PLACE = {band.name: place for place, band in enumerate(BANDS)}  # name -> position in the source, from 0
TERRAIN = ("elevation", "slope_deg", "aspect_deg", "landcover")
CONDITIONS = tuple(band.name for band in BANDS if band.name not in TERRAIN)
TERRAIN_PLACES = [PLACE[name] for name in TERRAIN]
CONDITION_PLACES = [PLACE[name] for name in CONDITIONS]
