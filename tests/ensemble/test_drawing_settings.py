"""How members are drawn: one way for each trained ensemble, and as learned or not at all a probability."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.forecast import Trained, ensemble_of
from emberformer.layout import Layout
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
    variants = {"wide": {"ensemble": {"d_model": 64, "steps": 50}}, "rivals": {"ensemble": {"rivals": []}}}
    assert {"wide-ensemble", "rivals-ensemble"} < set(Layout(changed(settings, {"variants": variants})).trained)


@pytest.mark.parametrize(
    ("told", "as_learned"),
    [({}, True), ({"context_scale": 2}, False), ({"dino_scale": 0.5}, False), ({"guidance": "additive"}, False)],
)
def test_only_nested_guidance_of_1_draws_what_was_learned(told, as_learned):
    assert EnsembleSettings(**told).draws_as_learned == as_learned


def test_a_guided_ensemble_forecasts_no_new_fire(settings, monkeypatch, tmp_path):
    guided = SimpleNamespace(settings=changed(settings, {"ensemble.context_scale": 2.0}), about={"parent": None})
    monkeypatch.setattr("emberformer.ensemble.checkpoint.load_ensemble", lambda path: guided)
    network = Mock(spec=Trained, checkpoint=tmp_path / "model.ckpt")
    network.checkpoint.write_bytes(b"")
    with pytest.raises(InputError, match="members that are guided"):
        ensemble_of(network, tmp_path, 1)
