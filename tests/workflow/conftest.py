"""What tests of the workflow share."""

import pytest

from tests.workflow.running import Run
from tests.workflow.warm import start


@pytest.fixture(scope="session")
def warm_commands(tmp_path_factory):
    """Lets `Run.snakemake` start its jobs from a process that has imported all libraries already."""
    Run.commands = tmp_path_factory.mktemp("warm")
    server = start(Run.commands)
    yield
    server.kill()
    server.wait()
