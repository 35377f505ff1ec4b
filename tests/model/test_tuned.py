"""The tuned backbone: it begins with the frozen one's tokens; only what is named trains, and only that is kept."""

import pytest
import torch

from emberformer.features.backbone import load_backbone
from emberformer.model.tuned import TunedBackbone
from emberformer.settings import FeatureSettings
from emberformer.training_settings import FinetuningSettings

TINY = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")
PIXELS = {"path": "pixels", "blocks": 2}
GRID = (2, 3)


def frozen():
    return load_backbone(TINY)


def tuned(*phases: dict, load=frozen) -> TunedBackbone:
    backbone = TunedBackbone(load)
    for number, phase in enumerate(phases):
        backbone.begin(f"phase{number + 2}", FinetuningSettings.model_validate({**PIXELS, **phase}))
    return backbone.train()


def images(number: int = 3, patch: int = 14) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(number, 1, GRID[0] * patch, GRID[1] * patch)


def shift(backbone: TunedBackbone) -> TunedBackbone:
    """One step of training, so to say."""
    torch.manual_seed(2)
    with torch.no_grad():
        for p in backbone.trained:
            p.add_(0.05 * torch.randn_like(p))
    return backbone


@pytest.mark.parametrize("architecture", ["dinov2-tiny", "dinov2-small-registers", "dinov3-small"])
def test_blocks_one_by_one_give_what_the_model_gives(architecture):
    """From images, and from hidden states after a block; on a grid that is not square."""
    features = TINY.model_copy(update={"architecture": architecture, "layers": (2,)})
    whole = load_backbone(features)
    backbone = tuned({}, load=lambda: load_backbone(features.model_copy(update={"layers": ()})))
    given = images(2, whole.patch_size)
    with torch.no_grad():
        expected = whole.encode(given)
        hidden = torch.cat([expected.layers_prefix[:, 0], expected.layers[:, 0].flatten(1, 2)], 1)
        assert torch.allclose(backbone.encode("fire", given, GRID, None), expected.patches, atol=1e-5)
        assert torch.allclose(backbone.encode("fire", hidden, GRID, 2), expected.patches, atol=1e-5)


def test_the_tail_alone_gives_the_same_and_holds_no_more():
    whole = load_backbone(TINY.model_copy(update={"layers": (2,)})).encode(images())
    hidden = torch.cat([whole.layers_prefix[:, 0], whole.layers[:, 0].flatten(1, 2)], 1)
    backbone = tuned({"path": "tail"})
    assert backbone.first_block("fire") == 2
    all_of_it = sum(p.numel() for p in backbone.parameters())
    backbone.keep_tail_only()
    assert sum(p.numel() for p in backbone.parameters()) < 0.6 * all_of_it
    assert torch.allclose(backbone.encode("fire", hidden, GRID, 2), whole.patches, atol=1e-5)


@pytest.mark.parametrize("phase", [{}, {"method": "full"}, {"method": "full", "blocks": None}, {"blocks": None}])
def test_what_is_frozen_has_no_gradient_and_does_not_move(phase):
    """X22: and what trains does move; the settings say which."""
    backbone = tuned(phase)
    before = {name: p.detach().clone() for name, p in backbone.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in backbone.parameters() if p.requires_grad], 1e-2)
    for _ in range(2):  # the first step of an adapter's A has no gradient yet: B is zero
        backbone.encode("fire", images(), GRID, None).square().sum().backward()
        optimizer.step()
    moved = {name for name, p in backbone.named_parameters() if not torch.equal(p, before[name])}
    trains = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert moved == trains
    assert all(p.grad is None for name, p in backbone.named_parameters() if name not in trains)
    if phase.get("method") != "full":
        assert all("lora_" in name for name in trains)
        assert len({name.split(".layer.")[1][0] for name in trains}) == (4 if "blocks" in phase else 2)
    elif "blocks" not in phase:
        assert not any("embeddings" in name or ".layer.0." in name or ".layer.1." in name for name in trains)
        assert any("layernorm" in name for name in trains)
    else:
        assert any("patch_embeddings" in name for name in trains)


def test_a_checkpoint_holds_what_was_tuned_and_gives_it_back():
    for phase in ({}, {"method": "full"}, {"lora": {"adaptive": True, "rank": 2}}):
        backbone = shift(tuned(phase))
        state = backbone.state_dict()
        frozen_ones = {name for name, p in backbone.named_parameters() if not p.requires_grad and "ranknum" not in name}
        assert state
        assert not set(state) & frozen_ones
        again = tuned(phase)
        assert (
            again.encode("fire", images(), GRID, None) - backbone.encode("fire", images(), GRID, None)
        ).abs().max() > 1e-3
        again.load_state_dict(state)
        assert torch.equal(again.encode("fire", images(), GRID, None), backbone.encode("fire", images(), GRID, None))
        with pytest.raises(RuntimeError, match="Missing key"):
            again.load_state_dict(dict(list(state.items())[1:]))


def test_two_adapters_on_one_backbone():
    """X9: what frames learn changes no terrain token, and the weights underneath are there once."""
    backbone = tuned({"encoders": ("fire", "terrain")})
    assert len(backbone.models) == 1
    before = backbone.encode("terrain", images(), GRID, None)
    with torch.no_grad():
        for name, p in backbone.named_parameters():
            if "phase2_fire" in name:
                p.add_(0.1)
    assert torch.equal(backbone.encode("terrain", images(), GRID, None), before)
    assert (backbone.encode("fire", images(), GRID, None) - before).abs().max() > 1e-3
    assert all(p.requires_grad for p in backbone.trained)


def test_one_encoder_trains_for_both_or_for_one():
    """X8, X9: `full` shares one encoder where both train, and copies it where only one does."""
    both = shift(tuned({"encoders": ("fire", "terrain"), "method": "full"}))
    assert torch.equal(both.encode("fire", images(), GRID, None), both.encode("terrain", images(), GRID, None))
    one = tuned({"encoders": ("fire", "terrain")}, {"encoders": ("fire",), "method": "full"})
    before = one.encode("terrain", images(), GRID, None)
    shift(one)
    assert torch.equal(one.encode("terrain", images(), GRID, None), before)
    assert (one.encode("fire", images(), GRID, None) - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"blocks": None, "encoders": ("fire", "terrain"), "lora": {"rank": 3}}),
        ({}, {"method": "full", "blocks": 3}),
        ({"method": "full"}, {"encoders": ("fire", "terrain")}),
        ({"method": "full"}, {"encoders": ("terrain",), "method": "full"}),
        ({"encoders": ("terrain",)}, {"encoders": ("fire", "terrain")}),
    ],
)
def test_a_later_phase_begins_where_the_earlier_one_ended(first, then):
    """Tokens of frames and terrain are those of phase 2, or the frozen backbone's where phase 2 left them alone."""
    earlier = shift(tuned(first))
    later = TunedBackbone(frozen)
    later.begin("phase2", FinetuningSettings.model_validate({**PIXELS, **first}))
    later.load_state_dict(earlier.state_dict())
    later.begin("phase3", FinetuningSettings.model_validate({**PIXELS, **then}))
    plain = frozen().encode(images()).patches
    for encoder in later.parts:
        expected = earlier.encode(encoder, images(), GRID, None) if encoder in earlier.parts else plain
        assert torch.allclose(later.encode(encoder, images(), GRID, None), expected, atol=1e-5)
    state, again = shift(later).state_dict(), tuned(first, then)
    again.load_state_dict(state)
    for encoder in later.parts:
        assert torch.equal(again.encode(encoder, images(), GRID, None), later.encode(encoder, images(), GRID, None))


def test_recomputation_changes_no_gradient():
    """Also with two adapters, when the backward pass of one comes after the other was switched on."""
    gradients = []
    for checkpointing in (False, True):
        backbone = shift(tuned({"encoders": ("fire", "terrain"), "checkpointing": checkpointing}))
        given = images()
        tokens = backbone.encode("fire", given, GRID, None), backbone.encode("terrain", 1 - given, GRID, None)
        (tokens[0].square().sum() + 3 * tokens[1].sum()).backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters() if p.requires_grad})
    plain, recomputed = gradients
    assert all(value is not None and value.abs().max() > 0 for value in plain.values())
    assert all(torch.allclose(plain[name], recomputed[name], rtol=1e-4, atol=1e-5) for name in plain)


def test_only_the_adapters_drop_out():
    """The backbone computes as when it made the cache, in training too."""
    backbone = tuned({"lora": {"dropout": 0.5}})
    training = {name for name, module in backbone.models.named_modules() if module.training}
    assert training
    assert all("lora_dropout" in name for name in training)
    given = images()
    shift(backbone)
    first, second = (backbone.encode("fire", given, GRID, None) for _ in range(2))
    assert (first - second).abs().max() > 0
    backbone.eval()
    assert torch.equal(backbone.encode("fire", given, GRID, None), backbone.encode("fire", given, GRID, None))
