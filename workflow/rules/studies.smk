# Experiments of config/experiments: which networks they need. These are trained and forecast by the same rules
# as the configuration's, from the same features; see docs/experiments.md.
#
# An experiment is read only when a target needs it: what does not fit a configuration must not stop its other targets.
from emberformer.deployment import SOURCES
from emberformer.experiments import find_experiments, plan_study, write_study

EXPERIMENTS = find_experiments(SOURCES / "config" / "experiments", CHOSEN_EXPERIMENTS)
STUDY = layout.experiments / "{experiment}"
STUDIES = {}  # experiments that have been read


wildcard_constraints:
    experiment=one_of(EXPERIMENTS),


def study(name):
    """An experiment on this configuration."""
    if name not in STUDIES:
        STUDIES[name] = plan_study(settings, EXPERIMENTS[name])
    return STUDIES[name]


def study_forecasts(wildcards):
    return forecast_stores(study(wildcards.experiment).layout)


def study_models(wildcards):
    """Models with their training curves."""
    trained = study(wildcards.experiment).layout.trained.values()
    return [one.folder(seed) / "model.ckpt" for one in trained for seed in one.seeds]


def study_file(wildcards):
    return os.path.relpath(EXPERIMENTS[wildcards.experiment])
