# Which network lies in which folder: rules know a trained network and a feature store by the name of its folder.
#
# The name follows from what decides the content, so networks that are equal, of one configuration or of two, run once.
# Under which configuration and variant a folder is made is therefore a resource, like the path of the configuration.
import json
from typing import NamedTuple

from emberformer.ensemble_settings import Rival
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.layout import Trained

FEATURES = layout.root / "{dataset}" / "features" / "{key}.zarr"
MODEL = layout.root / "models" / "{model}" / "seed-{seed}"
FINETUNED = r"phase[23]-[0-9a-f]{8}"
STUDENT = r"student-[0-9a-f]{8}"
RIVAL = layout.root / "models" / "{model}{of_seed}" / "ensembles" / "{rival}"
RIVALS = get_args(Rival)
ENSEMBLE = r"ensemble-[0-9a-f]{8}"
NETWORK = r"(?!ensemble-)\w+-[0-9a-f]{8}"
FROZEN = r"(?!phase[23]-|student-|ensemble-)\w+-[0-9a-f]{8}"  # of phase 1: `frozen` or the network's name


class Planned(NamedTuple):
    """A network, and the path of the configuration that it belongs to."""

    config: str
    one: Trained


def planned():
    """Every network that a target may ask for: the configuration's own first, then those of folds and experiments."""
    for one in layout.trained.values():
        yield Planned(CONFIG, one)
    for number in FOLDS:
        of = fold_layout(number)
        for one in of.trained.values():
            yield Planned(str(of.config), one)
    for name in EXPERIMENTS:
        for one in study(name).layout.trained.values():
            yield Planned(str(study(name).config), one)


@cache
def network(model):
    """The network of a model's folder."""
    for found in planned():
        if found.one.key == model:
            return found
    raise InputError(
        layout.root / "models" / model,
        "no network of this configuration",
        "a network that it names",
        "ask for a target rule, such as `all`, or give the configuration that the folder belongs to",
    )


@cache
def extracted_for(key):
    """The first network that takes the features of a store."""
    for found in planned():
        if features_key(found.one.layout.settings.features) == key:
            return found
    raise InputError(
        f"features {key}",
        "no features of this configuration",
        "a feature store that it needs",
        "ask for a target rule, such as `extract_features`",
    )


def of_network(wildcards):
    """The network that a job is about: of a model's folder, or the first that takes a feature store."""
    return network(wildcards.model) if "model" in wildcards.keys() else extracted_for(wildcards.key)


def config_of(wildcards):
    return of_network(wildcards).config


def variant_of(wildcards):
    """The option that names the variant."""
    variant = of_network(wildcards).one.variant
    return "" if variant is None else f"--variant {variant}"


def phase_of(wildcards):
    return of_network(wildcards).one.phase


def split_of(wildcards):
    """The split that a network is trained and tested on."""
    return network(wildcards.model).one.layout.split


def label_of(wildcards):
    """The network's name in messages."""
    return of_network(wildcards).one.name


def parent_of(wildcards):
    """The model that a phase starts from."""
    one = network(wildcards.model).one
    return one.layout.model(wildcards.seed, one.layout.parent_phase(one.phase)) / "model.ckpt"


def prior_of(wildcards):
    """The model whose forecasts an ensemble starts from."""
    of = network(wildcards.model).one.layout.settings.ensemble
    return [parent_of(wildcards)] if of.prior else []


def learned_from(wildcards):
    """What that model forecasts for the fires that an ensemble learns from."""
    of = network(wildcards.model).one.layout
    names = [name for name in DATASETS if name not in of.settings.split.test_landscapes]
    stores = [of.learned_from(wildcards.seed, of.parent_phase("ensemble"), name) / STORE for name in names]
    return stores if of.settings.ensemble.prior else []


def seed_of(wildcards):
    """The seed of the network that a rival ensemble is made of; empty: of all seeds."""
    return wildcards.of_seed.rpartition("-")[2]


def rival_inputs(wildcards):
    """What a rival ensemble is made of: the network's forecasts, and of one that is fitted those of all data sets."""
    of, seed = network(wildcards.model).one.layout, seed_of(wildcards)
    seeds, phase = [seed] if seed else of.settings.training.seeds, of.parent_phase("ensemble")
    stores = [of.model_forecasts(seed, phase, dataset) / STORE for seed in seeds for dataset in DATASETS]
    return [of.split, *ALL_FIRES, *stores]


def drawing_of(wildcards):
    """How an ensemble draws its members, as text that Snakemake compares."""
    of = network(wildcards.model).one.layout.settings.ensemble
    return json.dumps(of.drawing)


def feature_stores(of):
    """Feature stores that a network takes, without those that were made elsewhere."""
    return [of.features(dataset) / STORE for dataset in DATASETS if of.extracts(dataset)]


def training_features(wildcards):
    """Features follow from the fires and from the store's name alone: extracted in other shards they are the same."""
    return [ancient(store) for store in feature_stores(network(wildcards.model).one.layout)]


def features_of(wildcards):
    """The feature store of one data set."""
    of = network(wildcards.model).one.layout
    return [ancient(of.features(wildcards.dataset) / STORE)] if of.extracts(wildcards.dataset) else []


def forecast_stores(of):
    """Forecasts of every method of a configuration."""
    return [of.forecasts(method, dataset) / STORE for method in of.methods for dataset in DATASETS]


def pixel_forecasts(wildcards):
    """Forecasts of the network's first seed, where the study compares with them."""
    if not (settings.foresight and settings.foresight.pixel_rollout):
        return []
    method = f"emberformer-seed-{settings.training.seeds[0]}"
    return [layout.forecasts(method, dataset) / STORE for dataset in settings.tested]


def rival_forecasts(wildcards):
    """Forecasts whose connected pieces the detector is compared with."""
    rival = layout.detection_rival
    return [layout.forecasts(rival, dataset) / STORE for dataset in settings.tested] if rival else []


ALL_FEATURES = sorted({store for one in layout.trained.values() for store in feature_stores(one.layout)})
ALL_MODELS = sorted({one.folder(seed) / "model.ckpt" for one in layout.trained.values() for seed in one.seeds})
ALL_MEMBERS = [path / STORE for dataset in settings.tested for path in layout.ensembles(dataset).values()]
ALL_FORECASTS = sorted(set(forecast_stores(layout)))
