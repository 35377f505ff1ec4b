"""Names of the files of a forecast, modelled on the GIS file naming of US incident teams.

NWCG Standards for Geospatial Operations (PMS 936), "File Naming" (https://www.nwcg.gov/publications/pms936/file-naming):
{date and time}_{incident}_{other information}, each name complete without its folder; underscores delimit, capital
letters join words, no spaces, periods or other characters; `llw84` names data in longitude and latitude on WGS 84.

    20230330_1230Z_Sequence001_probability_lead02_20230330_1330Z.tif
    init_time      fire_id     content     lead   valid_time

Incident teams write local time; these names say UTC with a Z.
"""

from __future__ import annotations

import re
import unicodedata

import xarray as xr

from emberformer.outputs.times import stamp


def file_name(forecast: xr.Dataset, content: str, extension: str, lead: int | None = None) -> str:
    """Name of a file.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        content: what is in it, lower case, such as "arrival_time".
        extension: without its period.
        lead: 1 to k if it is of one lead.
    """
    parts = [stamp(forecast.init_time.values), incident(str(forecast.attrs["fire_id"])), content]
    if lead is not None:
        parts += [f"lead{lead:02d}", stamp(forecast.valid_time.sel(lead=lead).values)]
    return f"{'_'.join(parts)}.{extension}"


def incident(fire_id: str) -> str:
    """A fire's name as one word of letters and digits.

    >>> incident("sequence_001"), incident("Río Maipo 2"), incident("CA-LNU-LightningComplex")
    ('Sequence001', 'RioMaipo2', 'CALNULightningComplex')
    """
    plain = unicodedata.normalize("NFKD", fire_id).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    return "".join(word[0].upper() + word[1:] for word in words)[:60] or "Fire"
