"""A decoder that takes hidden layers, beside tokens that are stored by their principal components."""

import torch

from emberformer.checkpoint import build_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.network_sizes import Sizes
from tests.stores import prepare, tiny_experiment


def test_the_decoder_takes_whole_layers_beside_components(tmp_path):
    settings, layout = tiny_experiment(tmp_path, features={"components": 8, "layers": (2, 3)}, model={"decoder": "fpn"})
    prepare(settings, layout)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    assert sizes == Sizes.from_dict(sizes.to_dict())
    landscapes = open_landscapes(layout, sizes)
    model = build_model(sizes, settings)
    steps = list_steps(landscapes, split, "train")[:2]
    batch = FireSteps(landscapes, steps, settings.model.history, inputs=model.inputs).__getitems__([0, 1])
    assert batch["frame_patches"].shape[-1] == 8 < batch["frame_layers"].shape[-1]
    assert torch.isfinite(model(**model_inputs(model, batch))).all()
