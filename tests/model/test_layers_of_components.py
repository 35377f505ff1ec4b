"""Tokens that are stored by their principal components, beside hidden layers and CLS tokens, which are stored whole."""

import torch

from emberformer.checkpoint import build_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.ensemble.checkpoint import new_generator
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.network_sizes import Sizes
from tests.stores import ENSEMBLE, prepare, tiny_experiment


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


def test_an_ensemble_takes_the_whole_cls_token_beside_components(tmp_path):
    settings, layout = tiny_experiment(tmp_path, features={"components": 8})
    prepare(settings, layout)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    generator = new_generator(sizes, EnsembleSettings(**{**ENSEMBLE, "prior": False}), None)
    landscapes = open_landscapes(layout, sizes)
    steps = list_steps(landscapes, split, "train")[:2]
    batch = FireSteps(landscapes, steps, settings.model.history, inputs=generator.inputs).__getitems__([0, 1])
    assert batch["frame_patches"].shape[-1] == 8 < batch["frame_cls"].shape[-1]
    conditioning = generator.conditioning(batch)
    field = torch.zeros(2, 1, *batch["fire_pixels"].shape[2:])
    assert torch.isfinite(generator.network(field, torch.tensor([0.2, 0.7]), conditioning)).all()
