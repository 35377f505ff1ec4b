"""An ensemble learns what its network learned and both are scored against, where the source has its own target."""

import numpy as np
import pytest

from emberformer.arrival_leads import observed_lead
from emberformer.checkpoint import open_landscapes
from emberformer.data.fires import observed
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.ensemble.batches import reach_of
from emberformer.network_sizes import Sizes
from tests.stores import prepare, tiny_experiment


@pytest.fixture(scope="module")
def ahead(tmp_path_factory):
    """A landscape whose isochrones are areas that run ahead of the burned frames: a row of pixels more to the south."""
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("targets"))
    prepare(settings, layout)
    split = read_split(layout.split)
    (landscape,) = open_landscapes(layout, Sizes.of(layout, split))
    frames = landscape.fires.burned.values
    wider = frames.copy()
    wider[:, 1:] |= frames[:, :-1]
    landscape.fires = landscape.fires.assign(isochrone=(landscape.fires.burned.dims, wider))
    landscape.fires.attrs["target_kind"] = "cumulative"
    return landscape, split


def test_the_arrival_is_by_the_target_that_is_scored(ahead):
    landscape, split = ahead
    fires, step = landscape.fires, list_steps([landscape], split, "train")[0]
    row = int(landscape.row_start[step.fire]) + step.step
    item = FireSteps([landscape], [step], 3, inputs=("arrival_lead",), leads=2)[0]
    found = item["arrival_lead"].numpy()[: fires.sizes["y"], : fires.sizes["x"]]
    now, by_burned = fires.burned[row].values == 1, observed_lead(fires.burned[row : row + 3].values)
    assert (found[now] == 0).all()
    for lead in (1, 2):
        assert np.array_equal(found <= lead, (observed(fires, row + lead) == 1) | (found < lead))
    assert (found < by_burned).any()  # the isochrone is there before the frame


def test_fire_goes_as_far_as_the_target_does(ahead):
    landscape, split = ahead
    with_isochrones = reach_of([landscape], split, 1)
    landscape.fires.attrs["target_kind"] = "same_as_burned"
    try:
        assert with_isochrones > reach_of([landscape], split, 1)
    finally:
        landscape.fires.attrs["target_kind"] = "cumulative"
