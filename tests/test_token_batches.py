"""Hidden layers of the newest frame: the store's own, cut and turned like the frame's tokens, refused where missing."""

import pytest
import torch

from benchmarks.small_store import CACHED_INPUTS
from emberformer.checkpoint import build_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.features.store import open_features
from emberformer.network_sizes import Sizes
from tests.kinds import BACKBONE
from tests.stores import MODEL, prepare, tiny_experiment

INPUTS = (*CACHED_INPUTS, "frame_layers")


def opened(folder, **features):
    settings, layout = tiny_experiment(
        folder, {"tiny": (42, 42)}, features={**BACKBONE, **features}, model={**MODEL, "decoder": "fpn"}
    )
    prepare(settings, layout)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    return settings, layout, sizes, landscapes, list_steps(landscapes, split, "train")


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("layered"), layers=(1, 2), dtype="int8")


def test_they_are_the_stores_rows_of_the_newest_frame(layered):
    _, layout, _, landscapes, steps = layered
    stored = open_features(layout.features("tiny"))
    data = FireSteps(landscapes, steps, 3, inputs=INPUTS)
    for index in range(len(steps)):
        row = int(landscapes[0].row_start[steps[index].fire]) + steps[index].step
        expected = torch.from_numpy(stored.frame_layers[int(stored.frame_of[row])].values)
        assert torch.equal(data[index]["frame_layers"], expected)


def test_they_have_the_cut_and_view_of_the_frames_tokens(layered):
    """Layers that hold the tokens themselves come out as the tokens do, whatever the window and the view."""
    _, _, _, landscapes, steps = layered
    landscape = landscapes[0]
    data = FireSteps(landscapes, steps, 3, crop=2, flip=True, seed=4, buffers=2, inputs=INPUTS)
    kept, views = landscape.frame_reader.read, set()

    def of_layers(cuts, outs):
        """The last layer's tokens instead of the frames' own."""
        views.update(cut.view for cut in cuts)
        for cut, out in zip(cuts, outs, strict=True):
            layers = out.new_empty((len(cut.rows), *landscape.layer_reader.shape[1:2], *out.shape[1:]))
            landscape.layer_reader.read([cut], [layers])
            out.copy_(layers[:, -1])

    landscape.frame_reader.read = of_layers
    try:
        for batch in (list(range(4)), list(range(4, 8)), [1, 3, 5]):
            found = data.__getitems__(batch)
            assert found["frame_layers"].shape[:4] == (len(batch), 2, 2, 2)
            assert torch.equal(found["frame_layers"][:, -1].float(), found["frame_patches"][:, -1].float())
    finally:
        landscape.frame_reader.read = kept
    assert len(views) > 2


def test_rows_in_memory_are_the_same(layered):
    _, layout, sizes, landscapes, steps = layered
    in_memory = open_landscapes(layout, sizes, "ram")
    for index in (0, len(steps) - 1):
        disk, ram = (FireSteps(of, steps, 3, inputs=INPUTS)[index] for of in (landscapes, in_memory))
        assert torch.equal(disk["frame_layers"], ram["frame_layers"])


def test_the_network_names_them_and_learns_from_them(layered):
    settings, _, sizes, landscapes, steps = layered
    model = build_model(sizes, settings)
    assert "frame_layers" in model.inputs
    batch = FireSteps(landscapes, steps, settings.model.history, inputs=model.inputs).__getitems__([0, 1])
    given = model_inputs(model, batch)
    given["frame_layers"] = given["frame_layers"].float().requires_grad_()
    model(**given).sum().backward()
    gradient = given["frame_layers"].grad
    assert gradient is not None
    assert (gradient.abs().sum((2, 3, 4)) > 0).all()


def test_a_store_without_them_is_refused_before_the_first_batch(tmp_path):
    settings, _, sizes, landscapes, steps = opened(tmp_path)
    with pytest.raises(InputError, match=r"features\.layers"):
        FireSteps(landscapes, steps, 3, inputs=INPUTS)
    with pytest.raises(InputError, match=r"features\.layers"):
        build_model(sizes, settings)
