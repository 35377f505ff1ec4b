"""What tests of the workflow share."""

import os

import pytest
from filelock import FileLock

from tests.workflow.running import Run
from tests.workflow.warm import start


@pytest.fixture(scope="session")
def warm_commands(tmp_path_factory):
    """Lets `printed` and all jobs start from one process, of all workers of pytest, that has imported all libraries."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder, ends_with = tmp_path_factory.getbasetemp().parent / "warm", os.getppid()
    else:
        folder, ends_with = tmp_path_factory.mktemp("warm"), os.getpid()
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "socket").exists():
            start(folder, ends_with)
    Run.commands = folder
