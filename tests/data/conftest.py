"""Tiny data sets and the stores made of them, for all tests of the data."""

import shutil

import pytest

from emberformer.data.fires import open_fires
from emberformer.data.reading import ingest
from tests.tiny import tiny_settings, write_tiny_dataset


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny") / "source"
    write_tiny_dataset(root)
    return root


@pytest.fixture
def tiny_root(tiny_original, tmp_path):
    """A tiny data set that a test may damage."""
    shutil.copytree(tiny_original, tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture(scope="session")
def tiny_store(tiny_original, tmp_path_factory):
    """Path of the fires store of an undamaged tiny data set; read only."""
    path = tmp_path_factory.mktemp("store") / "fires.zarr"
    ingest("tiny", tiny_settings(tiny_original), path)
    return path


@pytest.fixture
def tiny_fires(tiny_store):
    return open_fires(tiny_store)
