"""Settings: unknown keys and values, variants, phases, and the names of what they decide."""

import re

import pytest

from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.settings import Settings, merged, parse_settings

DATASET = {"root": "somewhere", "minutes_per_frame": 30, "bands": {"elevation": {"kind": "continuous"}}}
SET = {"annotations": "set.json", "images": "images"}
TAIL = {"blocks": 2}


def content(**changes) -> dict:
    return {"name": "some", "datasets": {"land": DATASET}, **changes}


def settings(**changes) -> Settings:
    return Settings.model_validate(content(**changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trainning": {}}, "trainning"),
        ({"model": {"fusion": "sum"}}, "model.fusion"),
        ({"model": {"d_model": 30, "heads": 4}}, "multiple of heads"),
        ({"datasets": {}}, "datasets: name at least one"),
        ({"datasets": {}, "detection": {}}, "datasets: name at least one"),
        ({"datasets": {}, "detection": {"cameras": {"sets": [SET], "train": 0.9}}}, "train + validation + test"),
        ({"phase3": {"path": "pixels"}}, "phase2 too"),
        ({"phase2": {"path": "tail", "encoders": ["terrain"]}}, "path: pixels"),
        ({"model": {"network": "unet"}, "phase2": TAIL}, "train the backbone"),
        ({"datasets": {"land": DATASET, "all": DATASET}}, "datasets.all: this name is taken"),
        ({"variants": {"persistence": {}}}, "name is taken"),
        ({"variants": {"a-seed-1": {}}}, "name is taken"),
        ({"variants": {"other": {"datasets": {}}}}, "cannot differ"),
        ({"variants": {"other": {"model": {"layers": 0}}}}, "greater than or equal to 1"),
        ({"training": {"loss": {"cross_entropy": 0, "dice": 0}}}, "weight above 0"),
    ],
)
def test_what_does_not_fit_is_named(changes, named):
    with pytest.raises(InputError) as error:
        parse_settings(content(**changes), "some.yaml")
    assert named in str(error.value)
    assert "some.yaml" in str(error.value)


def test_changes_go_in_key_by_key_and_lists_whole():
    before = {"model": {"layers": 2, "heads": 4}, "features": {"layers": [3, 6]}}
    after = merged(before, {"model": {"layers": 3}, "features": {"layers": [9]}})
    assert after == {"model": {"layers": 3, "heads": 4}, "features": {"layers": [9]}}
    assert before["model"]["layers"] == 2


def test_a_variant_differs_in_what_it_names_and_has_only_its_own_phases():
    whole = settings(
        model={"layers": 2},
        phase2=TAIL,
        variants={"unet": {"model": {"network": "unet"}}, "deep": {"model": {"layers": 6}, "phase2": TAIL}},
    )
    assert whole.variant("unet").model == whole.model.model_copy(update={"network": "unet"})
    assert whole.variant("unet").training == whole.training
    assert whole.variant("unet").phase2 is None
    methods = ["emberformer", "emberformer-phase2", "unet", "deep", "deep-phase2"]
    assert list(Layout(whole).trained) == methods
    assert Layout(whole).methods[: len(methods)] == [f"{name}-seed-0" for name in methods]


def test_a_phase_leaves_the_earlier_ones_alone_and_follows_from_them():
    before = Layout(settings(phase2=TAIL, phase3={"path": "pixels"}))
    after = Layout(settings(phase2={**TAIL, "learning_rate": 1e-4}, phase3={"path": "pixels"}))
    assert before.model_key() == after.model_key()
    assert before.model_key("phase2") != after.model_key("phase2")
    assert before.model_key("phase3") != after.model_key("phase3")
    assert Layout(settings(distillation={}, phase2=TAIL)).parent_phase("student") == "phase2"


def test_equal_networks_share_a_folder_and_what_decides_no_number_is_not_in_its_name():
    whole = Layout(
        settings(variants={"same": {"model": {"fusion": "concat"}}, "other": {"model": {"fusion": "add_norm"}}})
    )
    assert whole.trained["same"].folder(0) == whole.model(0)
    assert whole.trained["other"].folder(0) != whole.model(0)
    logged = Layout(settings(logging={"wandb": "disabled", "tags": ["x"]}, training={"seeds": [0, 1]}))
    assert logged.model(0) == whole.model(0)


@pytest.mark.parametrize(
    ("split", "tested"),
    [
        ({}, ["a", "b"]),
        ({"train": 0.8, "validation": 0.2, "test": 0.0}, []),
        ({"train": 0.8, "validation": 0.2, "test": 0.0, "test_landscapes": ["b"]}, ["b"]),
        ({"test_landscapes": ["b"]}, ["a", "b"]),
        ({"by": "landscape", "test_landscapes": ["b"]}, ["b"]),
        ({"by": "published"}, ["a", "b"]),
    ],
)
def test_data_sets_that_have_test_fires(split, tested):
    source = {"root": ".", "minutes_per_frame": 30, "bands": {"1": {"kind": "continuous"}}}
    settings = Settings.model_validate({"name": "a", "datasets": {"a": source, "b": source}, "split": split})
    assert settings.tested == tested


def test_defaults_are_those_that_the_design_documents_ask_for():
    of = settings(phase2={}, phase3={}, ensemble={})
    assert of.phase2 is not None
    assert of.phase3 is not None
    assert of.ensemble is not None
    sizes = ("d_model", "heads", "layers", "feedforward", "dropout", "d_wind", "refinement_channels")
    assert [getattr(of.model, key) for key in sizes] == [256, 4, 4, 1024, 0.1, 32, 32]
    assert [of.training.learning_rate, of.phase2.learning_rate, of.phase3.learning_rate] == [1e-3, 1e-5, 5e-6]
    assert [of.training.weight_decay, of.phase2.weight_decay, of.phase3.weight_decay] == [1e-4, 1e-4, 1e-3]
    assert [of.training.batch_size, of.phase2.batch_size, of.training.epochs, of.phase2.epochs] == [8, 4, 30, 20]
    assert [of.ensemble.unconditional, of.ensemble.context_only, of.ensemble.dino_only] == [0.10, 0.30, 0.05]


def test_every_key_says_what_it_is():
    schema = Settings.model_json_schema()
    groups = {"": schema, **schema["$defs"]}
    keys = {f"{group}.{key}": told for group, of in groups.items() for key, told in of["properties"].items()}
    assert len(keys) > 300
    assert [key for key, told in keys.items() if not told.get("description")] == []
    plain = {key: re.sub(r"`[^`]+`", "", told["description"]) for key, told in keys.items()}
    assert [key for key, text in plain.items() if re.search("<[a-z]", text)] == []  # a page takes it for a tag


@pytest.mark.parametrize("key", ["text", "warm_start", "teacher"])
def test_a_file_that_a_network_is_made_from_counts_by_its_content(tmp_path, key):
    def name(folder: str) -> str:
        path = tmp_path / folder / "file"
        if key == "teacher":
            return str(Layout(settings(detection={"distillation": {"teacher": str(path)}})).detector(0))
        told = {"land": str(path)} if key == "text" else str(path)
        return Layout(settings(ensemble={"leads": 1, "prior": False, key: told})).model_key("ensemble")

    def write(folder: str, content: str) -> None:
        path = tmp_path / folder / "file"
        path.parent.mkdir(exist_ok=True)
        if key == "text":  # a store
            path.mkdir(exist_ok=True)
            path /= "zarr.json"
        path.write_text(content)

    write("one", "a")
    write("other", "a")
    before = name("one")
    assert before == name("other")
    write("one", "ab")
    assert before != name("one")
    assert name("missing") != before


def test_a_folder_of_weights_counts_by_its_content(tmp_path):
    def names() -> tuple[str, str]:
        both = (
            settings(features={"weights": str(tmp_path)}),
            settings(model={"decoder": "segformer", "decoder_weights": str(tmp_path)}),
        )
        return str(Layout(both[0]).features("land")), Layout(both[1]).model_key()

    with pytest.raises(InputError, match=r"(?s)nothing.*config\.json and weights.*save_pretrained"):
        names()
    (tmp_path / "config.json").write_text("{}")
    seen = set()
    for file, content in (("pytorch_model.bin", "a"), ("pytorch_model.bin", "ab"), ("model.safetensors", "abc")):
        (tmp_path / file).write_text(content)
        seen |= set(names())
    assert len(seen) == 6
    (tmp_path / "pytorch_model.bin").write_text("read by nobody beside the other")
    assert set(names()) <= seen
