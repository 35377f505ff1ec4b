"""Experiments: the shipped ones fit the shipped configurations, and what does not fit is named."""

from pathlib import Path

import pytest
import yaml

from emberformer.errors import InputError
from emberformer.experiments import find_experiments, plan_study
from emberformer.layout import Layout
from emberformer.settings import load_settings, parse_settings
from emberformer.stage import merged
from tests.tiny import tiny_settings

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "config" / "experiments"
CONTENT = {
    "title": "Fusion",
    "question": "Which?",
    "variants": {"added": {"model": {"fusion": "add_norm"}}},
    "hypotheses": [{"claim": "It helps", "better": "added", "than": "emberformer"}],
}


@pytest.fixture
def settings(tmp_path):
    source = tiny_settings(tmp_path).model_dump(mode="json")
    return parse_settings({"name": "tiny", "datasets": {"tiny": source}, "variants": {"own": {}}, "phase2": {}})


def written(folder: Path, **changes: object) -> Path:
    path = folder / "fusion.yaml"
    path.write_text(yaml.safe_dump(CONTENT | changes))
    return path


@pytest.mark.parametrize("config", ["portillo", "demo"])
@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_experiments_fit_the_shipped_configurations(path, config):
    study = plan_study(load_settings(ROOT / "config" / f"{config}.yaml"), path)
    named = {name for h in study.experiment.hypotheses for name in (h.better, h.than)}
    assert all(variant in {name.split("-")[0] for name in named} for variant in study.experiment.variants), (
        "a variant that no hypothesis asks about is trained for nothing"
    )


def test_experiments_are_found_by_name_and_costly_ones_only_by_name():
    of_all = find_experiments(FOLDER)
    assert "fusion" in of_all
    assert "phases" not in of_all
    assert list(find_experiments(FOLDER, ["phases", "fusion"])) == ["phases", "fusion"]
    with pytest.raises(InputError, match=r"fusoin\n.*cross_patch, decoders"):
        find_experiments(FOLDER, ["fusoin"])


def test_a_study_shares_what_is_equal_and_leaves_out_what_is_not_asked(settings, tmp_path):
    study = plan_study(settings, written(tmp_path))
    assert list(study.layout.trained) == ["emberformer", "added"]  # neither the variant `own` nor phase 2
    assert study.methods == ["emberformer-seed-0", "added-seed-0"]
    assert study.layout.features("tiny") == study.layout.variant("added").features("tiny")
    changed = plan_study(settings, written(tmp_path, seeds=[3, 4], epochs=2))
    assert changed.members("added") == ["added-seed-3", "added-seed-4"]
    assert changed.layout.variant("added").settings.training.epochs == 2


def hypothesis(**changes: object) -> dict:
    return {"hypotheses": [{"claim": "c", "better": "added", "than": "emberformer", **changes}]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hypothesis": []}, "hypothesis: Extra inputs"),
        ({"hypotheses": []}, "hypotheses"),
        ({"variants": {"added": {"model": {"fusoin": "add_norm"}}}}, "fusoin"),
        ({"variants": {"added": {"split": {"by": "block"}}}}, "cannot differ"),
        ({"variants": {"added": {"training": {"seeds": [5]}}}}, "the same seeds"),
        (hypothesis(better="aded"), "hypotheses.0.better"),
        (hypothesis(than="unet"), "hypotheses.0.than"),
        (hypothesis(dataset="x"), "hypotheses.0.dataset"),
        (hypothesis(metric="auc"), "metric"),
        (hypothesis(metric="ece", unit="of_error"), "of_error"),
        (hypothesis(metric="epochs_to_target", than="dilation"), "baseline"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_named(settings, tmp_path, changes, named):
    with pytest.raises(InputError, match=r"fusion\.yaml") as caught:
        plan_study(settings, written(tmp_path, **changes))
    assert named in str(caught.value)


def test_a_study_leaves_further_systems_out(settings, tmp_path):
    systems = {"ensemble": {"leads": 1, "prior": False, "rivals": []}, "foresight": {}, "detection": {}}
    whole = parse_settings(settings.model_dump(mode="json") | systems)
    study = plan_study(whole, written(tmp_path))
    assert study.methods == ["emberformer-seed-0", "added-seed-0"]
    of = study.layout.settings
    assert (of.ensemble, of.foresight, of.detection) == (None, None, None)


def test_ensembles_of_a_study_are_the_configurations_but_for_what_they_name():
    whole = load_settings(ROOT / "config" / "ensemble.yaml")
    two = {"ensemble": {"leads": 2}, "forecast": {"leads": 2}, "model": {"lead_times": 2}}
    settings = parse_settings(merged(whole.model_dump(mode="json"), two))
    study = plan_study(settings, FOLDER / "on_request" / "ensemble_patches.yaml").layout
    assert "emberformer-ensemble" not in study.trained
    assert study.trained["both-ensemble"].key == Layout(settings).trained["emberformer-ensemble"].key
    other = study.trained["cls_only-ensemble"].layout.settings.ensemble
    assert other is not None
    assert (other.patches, other.epochs, other.leads) == (False, 16, 2)


def test_a_hypothesis_may_ask_about_the_configurations_own_ensemble(settings, tmp_path):
    whole = parse_settings(settings.model_dump(mode="json") | {"ensemble": {"rivals": []}})
    hypotheses = [{"claim": "It helps", "better": "emberformer-ensemble", "than": "emberformer"}]
    study = plan_study(whole, written(tmp_path, variants={}, hypotheses=hypotheses))
    assert study.methods == ["emberformer-seed-0", "emberformer-ensemble-seed-0"]


def test_a_study_asks_for_no_reference_that_it_does_not_score(settings, tmp_path):
    whole = parse_settings(settings.model_dump(mode="json") | {"evaluation": {"reference": "persistence"}})
    assert plan_study(whole, written(tmp_path)).layout.settings.evaluation.reference is None


def test_a_study_draws_the_configurations_ensemble_as_the_configuration_does(settings, tmp_path):
    own = {"ensemble": {"rivals": [], "members": 9}, "phase2": None}
    whole = parse_settings(settings.model_dump(mode="json") | own)
    hypotheses = [{"claim": "It helps", "better": "again-ensemble", "than": "emberformer"}]

    def drawn(**ensemble):
        path = written(tmp_path, variants={"again": {"ensemble": ensemble}}, hypotheses=hypotheses)
        of = plan_study(whole, path).layout.trained["again-ensemble"].layout.settings.ensemble
        assert of is not None
        return of.members

    assert drawn(prior=True) == 9
    with pytest.raises(InputError, match=r"emberformer-ensemble and again-ensemble.*other members"):
        drawn(members=4)
