"""What all tests share: one thread a process, so that times and sums repeat on any machine; checked signatures."""

import os

import hypothesis
import pytest
from jaxtyping import install_import_hook

import tests.signatures  # noqa: F401  (the hook looks it up by name)

# Before torch and NumPy are imported; the rules of the workflow set their own.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # the other core belongs to another worker: threads that spin stop both

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Shapes and types in signatures are checked at every call, in everything that is imported from here on.
install_import_hook("emberformer", "tests.signatures.checked")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, of the workflow and of training: begun last, they would leave the other worker idle."""
    items.sort(key=lambda item: ("workflow" not in item.path.parts, item.path.stem != "test_training"))
