"""How members are drawn: one way for each trained ensemble, as learned or not at all a probability, at every place."""

from unittest.mock import Mock

import pytest
import torch

from emberformer.ensemble.checkpoint import EnsembleModel
from emberformer.ensemble.flow import FlowTerms
from emberformer.ensemble.generator import Generator, build_generator
from emberformer.ensemble.training import FlowTraining
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.forecast import LoadedModel, ensemble_of
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.overrides import changed
from tests.stores import tiny_experiment


@pytest.fixture
def settings(tmp_path):
    return tiny_experiment(tmp_path, ensemble={})[0]


@pytest.mark.parametrize("own", [{"steps": 50}, {"context_scale": 2.0}])
def test_one_ensemble_drawn_in_two_ways_is_refused(settings, own):
    with pytest.raises(InputError, match=next(iter(own))) as refused:
        _ = Layout(changed(settings, {"variants": {"long": {"ensemble": own}}})).trained
    assert "emberformer-ensemble and long-ensemble" in str(refused.value)


def test_another_ensemble_or_the_same_again_is_not_refused(settings):
    variants = {"wide": {"ensemble": {"d_model": 64, "steps": 50}}, "again": {"ensemble": {"members": 16}}}
    assert {"wide-ensemble", "again-ensemble"} < set(Layout(changed(settings, {"variants": variants})).trained)


def test_a_variant_has_no_rivals_of_its_own(settings):
    with pytest.raises(InputError, match=r"variants\.own\.ensemble\.rivals"):
        changed(settings, {"variants": {"own": {"ensemble": {"rivals": []}}}})


@pytest.mark.parametrize(
    ("told", "as_learned"),
    [({}, True), ({"context_scale": 2}, False), ({"dino_scale": 0.5}, False), ({"guidance": "additive"}, False)],
)
def test_only_nested_guidance_of_1_draws_what_was_learned(told, as_learned):
    assert EnsembleSettings(**told).draws_as_learned == as_learned


def test_futures_of_a_new_fire_are_drawn_as_learned_and_as_many_as_asked(settings, monkeypatch, tmp_path):
    told = changed(settings, {"ensemble.context_scale": 2.0, "ensemble.steps": 7})
    guided = EnsembleModel(Mock(spec=Generator), Mock(spec=Sizes), told, 3, None, {"parent": None})
    monkeypatch.setattr("emberformer.ensemble.checkpoint.load_ensemble", lambda path: guided)
    network = Mock(spec=LoadedModel, checkpoint=tmp_path / "model.ckpt")
    network.checkpoint.write_bytes(b"")
    for members, drawn in ((None, 16), (4, 4)):
        of = ensemble_of(network, tmp_path, 1, members).settings.ensemble
        assert of is not None
        assert of.draws_as_learned
        assert (of.steps, of.members) == (7, drawn)


def test_windows_lie_at_every_place_of_a_large_frame(monkeypatch):
    of = EnsembleSettings(side=7, d_model=16, depth=1, heads=2, refinement_channels=4)
    generator = build_generator(
        of, features=8, terrain_channels=1, patch_pixels=14, raster_channels=1, category_sizes=(), text_features=None
    )
    training, served = FlowTraining(generator, of, 10, places=71), []
    nothing = FlowTerms(*torch.zeros(4))
    monkeypatch.setattr(training, "terms", lambda generator, batch, *drawn: served.append(batch["origin"]) or nothing)
    monkeypatch.setattr(training, "log_dict", lambda *told, **how: None)
    batch = {"index": torch.zeros(500), "arrival_lead": torch.zeros(500, 14, 14, dtype=torch.uint8)}
    training.training_step(batch, 0)
    (origin,) = served
    assert (origin.min(), origin.max()) == (0, 70)
