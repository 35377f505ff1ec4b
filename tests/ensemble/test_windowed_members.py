"""Members where features were cut to a window around each fire: they lie on the whole raster, as all stores do."""

import numpy as np
import torch

from emberformer.arrival_leads import NEVER, UNKNOWN
from emberformer.checkpoint import open_landscapes
from emberformer.data.split import read_split
from emberformer.ensemble.checkpoint import new_generator
from emberformer.ensemble.drawing import Futures
from emberformer.ensemble.hindcast import member_blocks
from emberformer.network_sizes import Sizes
from tests.stores import prepare, tiny_experiment

ENSEMBLE = {
    "side": 7, "d_model": 16, "depth": 1, "heads": 2, "refinement_channels": 4, "members": 2, "steps": 1,
    "prior": False,
}  # fmt: skip


def test_members_of_a_window_lie_on_the_raster(tmp_path):
    settings, layout = tiny_experiment(tmp_path, {"tiny": (42, 56)}, ensemble=ENSEMBLE, features={"window": 28})
    prepare(settings, layout)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    (landscape,) = open_landscapes(layout, sizes)
    landscape.fires = landscape.fires.load().copy(deep=True)
    landscape.fires.burned[:, :, -1] = 255  # a column beyond every window that was never observed
    assert settings.ensemble is not None
    torch.manual_seed(0)
    futures = Futures(new_generator(sizes, settings.ensemble, None).eval(), settings.ensemble, 3)
    blocks = list(member_blocks(futures, None, landscape, split, settings, torch.device("cpu")))
    assert len(blocks) == 12
    names = list(map(str, landscape.fires.fire_id.values))
    for block in blocks:
        fire = names.index(block.fire_id)
        burned = landscape.fires.burned[int(landscape.row_start[fire]) + block.init_step].values
        assert block.arrival_lead.shape == (2, 42, 56)
        assert block.burn_probability is not None
        assert block.burn_probability.shape == (1, 42, 56)
        assert ((block.arrival_lead == 0) == (burned == 1)).all()
        assert ((block.arrival_lead == UNKNOWN) == (burned == 255)).all()
        assert (np.isnan(block.burn_probability) == (burned == 255)).all()
        outside = np.ones((42, 56), bool)
        landscape.cut(outside, fire)[...] = False
        assert (block.arrival_lead[:, outside & (burned == 0)] == NEVER).all()
        assert (block.burn_probability[:, outside & (burned == 0)] == 0).all()
    assert any((block.arrival_lead == 1).any() for block in blocks)
