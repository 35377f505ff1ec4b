"""Names of methods, what stands for each, and which pairs are subtracted."""

from emberformer.evaluate.names import parse_method, representatives
from emberformer.evaluate.rows import compared_methods
from emberformer.layout import Layout
from tests.stores import tiny_experiment


def test_every_method_of_a_layout_is_parsed_into_its_parts(tmp_path):
    variants = {"unet": {"training": {"seeds": [0, 1]}}, "emberformer-wide": {"model": {"d_model": 32}}}
    settings, _ = tiny_experiment(tmp_path, variants=variants, phase2={"path": "pixels"})
    layout = Layout(settings)
    trained = [method for method in layout.methods if parse_method(method).phase]
    assert {parse_method(method).trained for method in trained} == set(layout.trained)
    assert [m for m in trained if parse_method(m).is_model] == ["emberformer-seed-0", "emberformer-phase2-seed-0"]
    assert all(parse_method(baseline).phase is None for baseline in settings.evaluation.baselines)


METHODS = ["emberformer-seed-0", "emberformer-seed-1", "emberformer-phase2-seed-0", "unet-seed-0", "unet-seed-1",
           "distance", "emberformer (mean of 2 seeds)", "unet (mean of 2 seeds)"]  # fmt: skip


def test_the_mean_over_seeds_stands_for_a_network_and_else_its_seed():
    assert representatives(METHODS) == [
        "emberformer (mean of 2 seeds)", "emberformer-phase2-seed-0", "unet (mean of 2 seeds)", "distance"
    ]  # fmt: skip


def test_phases_are_compared_with_all_others_and_seeds_with_their_like():
    pairs = set(compared_methods(METHODS))
    mean, phase2, unet = "emberformer (mean of 2 seeds)", "emberformer-phase2-seed-0", "unet (mean of 2 seeds)"
    assert {(mean, unet), (mean, "distance"), (mean, phase2), (phase2, mean), (phase2, unet)} <= pairs
    assert {("emberformer-seed-1", "unet-seed-1"), ("emberformer-seed-1", "distance")} <= pairs
    assert not {("emberformer-seed-1", "unet-seed-0"), ("emberformer-seed-0", "emberformer-seed-1")} & pairs
    assert not [pair for pair in pairs if pair[0].startswith(("unet", "distance"))]
