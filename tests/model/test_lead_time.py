"""Several lead times in one network: one is as ever, each is told apart, and the laws hold for mixed batches."""

from itertools import pairwise

import pytest
import torch

from emberformer.model.adjustment import SpreadAdjustment
from emberformer.model.lead_time import LeadTime
from emberformer.model.refinement import WindGate
from emberformer.optimisation import parameter_groups
from emberformer.settings import ModelSettings
from tests.model.small_networks import FIRES, batch_of, network, with_padding

LEADS = torch.tensor([1, 3])


def of_leads(lead_times=3, learned=True, **settings):
    """A network of several lead times, with codes that are not zero."""
    model = network(lead_times=lead_times, **settings)
    if learned:
        torch.manual_seed(5)
        with torch.no_grad():
            for code in codes_of(model):
                code.normal_()
            for gate in model.refinement.gates:
                assert isinstance(gate, WindGate)
                gate.film.weight.normal_(0, 0.1)
    return model


def codes_of(model):
    """Codes of lead times: of the newest tokens, and of the refinement."""
    return [part.code for part in model.modules() if isinstance(part, LeadTime)]


def mixed(model, leads=LEADS, **sizes):
    batch = batch_of(network(fire="dino" if "frame_patches" in model.inputs else "stem"), len(leads), **sizes)
    return {**batch, "lead": leads}


@pytest.mark.parametrize("fire", FIRES)
def test_several_lead_times_begin_as_one_does(fire):
    """The same weights from the same chance, and for one step ahead the same forecast to the last bit."""
    one, several = network(fire=fire), of_leads(learned=False, fire=fire)
    assert "lead" not in one.inputs
    assert set(several.inputs) - set(one.inputs) == {"lead"}
    codes = {"lead_time.code", "refinement.lead_time.code"}
    assert set(several.state_dict()) - set(one.state_dict()) == codes
    for name, value in one.state_dict().items():
        assert torch.equal(value, several.state_dict()[name]), name
    batch = batch_of(one)
    with torch.no_grad():
        assert torch.equal(one(**batch), several(**batch, lead=torch.ones(2, dtype=torch.long)))


@pytest.mark.parametrize("fire", FIRES)
def test_each_lead_time_has_a_forecast_of_its_own(fire):
    model = of_leads(fire=fire, travel_time=False)
    batch = mixed(model)
    batch.pop("resolution")
    with torch.no_grad():
        found = [model(**{**batch, "lead": torch.full((2,), lead)}) for lead in (1, 2, 3)]
    assert (found[0] - found[1]).abs().max() > 1e-2
    assert (found[1] - found[2]).abs().max() > 1e-2


def test_more_time_burns_no_less_where_only_the_travel_time_speaks():
    """Untrained codes are zero, so that the time that fire has is all that differs."""
    model = of_leads(learned=False, rate_adjustment=True)
    batch = mixed(model)
    with torch.no_grad():
        found = [model(**{**batch, "lead": torch.full((2,), lead)}) for lead in (1, 2, 3)]
    for shorter, longer in pairwise(found):
        assert (longer >= shorter - 1e-4).all()
        assert (longer > shorter + 0.1).any()


@pytest.mark.parametrize("fire", FIRES)
@pytest.mark.parametrize("reach", [None, 1])
def test_neither_padding_nor_mates_of_another_lead_time_change_a_forecast(fire, reach):
    model = of_leads(fire=fire, reach=reach, cross_patch_layers=1)
    x = mixed(model, torch.tensor([2, 3, 1]))
    x["valid_t"][1, :2] = False
    with torch.no_grad():
        together = model(**x)
        assert torch.allclose(together, model(**with_padding(x, 3)), atol=1e-5)
        alone = [model(**{key: value[n : n + 1] for key, value in x.items()}) for n in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_every_code_learns_and_is_in_one_group():
    model = of_leads(learned=False)
    x = mixed(model, torch.tensor([1, 2, 3]))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(2):  # gates start at the identity, so what feeds them learns from the second step on
        optimizer.zero_grad()
        torch.nn.functional.softplus(model(**x)).mean().backward()
        optimizer.step()
    assert len(codes_of(model)) == 2
    assert all(code.grad is not None and (code.grad.abs().sum(1) > 0).all() for code in codes_of(model))
    groups = parameter_groups(model.parts(), model, {"temporal": 1e-3, "decoder": 1e-3})
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_the_past_says_the_same_of_every_lead_time():
    """Steps of the past are single steps: the factor on arrival times does not depend on what is forecast."""
    model = of_leads(learned=False)
    factors = []
    (adjustment,) = (part for part in model.modules() if isinstance(part, SpreadAdjustment))
    adjustment.register_forward_hook(lambda _, __, factor: factors.append(factor))
    batch = mixed(model)
    with torch.no_grad():
        for lead in (1, 3):
            model(**{**batch, "lead": torch.full((2,), lead)})
    assert torch.equal(*factors)
    assert (factors[0] != 1).any()


@pytest.mark.parametrize("rival", ["token", "unet", "conv_lstm"])
def test_who_forecasts_one_step_alone_refuses_more(rival):
    with pytest.raises(ValueError, match=rf"lead_times: 2 needs network: emberformer; {rival} .* rollout"):
        ModelSettings.model_validate({"network": rival, "lead_times": 2})
    assert ModelSettings.model_validate({"network": rival}).lead_times == 1
