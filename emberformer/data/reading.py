"""A data set of any source into its fires store."""

from __future__ import annotations

from pathlib import Path

from emberformer.data.fires import FireSource
from emberformer.data.fires_writing import write_fires
from emberformer.dataset_settings import DatasetSettings


def ingest(dataset: str, settings: DatasetSettings, path: Path) -> None:
    """Read a data set into a fires store.

    Args:
        dataset: name of the data set.
        settings: where it lies and how it is read.
        path: the store, `Layout.fires(dataset)`; replaced if it exists.

    Raises:
        InputError: naming the first file that does not fit.
    """
    write_fires(path, read_source(dataset, settings))


def read_source(dataset: str, settings: DatasetSettings) -> FireSource:
    """Check the tables of a data set and make its pixels ready to be read.

    Raises:
        InputError: naming the first file that does not fit; files with pixels are only read with the frames.
    """
    match settings.source:
        case "deep_crown":
            from emberformer.data.deep_crown import read_deep_crown

            return read_deep_crown(dataset, settings)
        case "cell2fire":
            from emberformer.data.cell2fire import read_cell2fire

            return read_cell2fire(dataset, settings)
        case "wsts":
            from emberformer.data.wsts.reader import read_wsts

            return read_wsts(dataset, settings)
        case "ndws":
            from emberformer.data.ndws.source import read_ndws

            return read_ndws(dataset, settings)
        case "sim2real":
            from emberformer.data.sim2real.source import read_sim2real

            return read_sim2real(dataset, settings)
        case "observed":
            from emberformer.data.observed import read_observed

            return read_observed(dataset, settings)
