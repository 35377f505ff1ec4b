"""A protocol sets its keys, refuses what contradicts it, and leaves the rest alone."""

import re
from pathlib import Path

import pytest
import yaml

from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.protocols import PROTOCOLS, FollowedProtocol
from emberformer.settings import parse_settings

SOURCES = {
    "wsts": {"source": "wsts", "root": "w"},
    "ndws": {"source": "ndws", "root": "n"},
    "deep_crown": {"root": "d", "minutes_per_frame": 30, "bands": {"elevation": {"kind": "continuous"}}},
}


def content(protocol, source, **changes):
    return {"name": "tried", "protocol": protocol, "datasets": {"one": dict(SOURCES[source])}, **changes}


def test_wsts_full_sets_what_a_published_score_depends_on():
    found = parse_settings(content("wsts-full", "wsts", split={"fold": 7}))
    assert (found.split.by, found.split.fold, found.split.leakage) == ("year", 7, "report")
    assert (found.evaluation.crop, found.evaluation.first_step) == ("multiple_of_32", 4)
    assert found.datasets["one"].model_dump()["missing_days"] == "skip"
    assert parse_settings(content("wsts-full", "wsts")).split.fold == 0


@pytest.mark.parametrize(
    ("protocol", "source", "expected"),
    [
        ("wsts-128", "wsts", {"by": "year", "crop": "centre_128"}),
        ("ndws", "ndws", {"by": "published", "crop": "none"}),
        ("deep-crown", "deep_crown", {"by": "sequence", "crop": "none"}),
    ],
)
def test_split_and_crop_of_each(protocol, source, expected):
    found = parse_settings(content(protocol, source))
    assert {"by": found.split.by, "crop": found.evaluation.crop} == expected
    assert found.followed_protocol == FollowedProtocol(protocol, found.split.fold)


def test_deep_crown_is_of_eighty_ten_ten():
    split = parse_settings(content("deep-crown", "deep_crown")).split
    assert (split.train, split.validation, split.test, split.seed) == (0.8, 0.1, 0.1, 42)


def test_by_landscape_takes_any_source_and_needs_landscapes_of_its_own():
    both = {"one": SOURCES["deep_crown"], "two": SOURCES["deep_crown"]}
    found = parse_settings(content("by-landscape", "deep_crown", datasets=both, split={"test_landscapes": ["two"]}))
    assert (found.split.by, found.split.test_landscapes) == ("landscape", ("two",))


@pytest.mark.parametrize(
    ("source", "protocol", "changes", "named"),
    [
        ("wsts", "wsts-full", {"split": {"by": "fire"}}, r"wsts-full sets split\.by: 'year'.*got 'fire'"),
        ("wsts", "wsts-full", {"evaluation": {"crop": "none"}}, r"sets evaluation\.crop: 'multiple_of_32'"),
        ("wsts", "wsts-128", {"evaluation": {"first_step": 0}}, r"sets evaluation\.first_step: 4"),
        ("wsts", "wsts-128", {"datasets": {"one": {**SOURCES["wsts"], "missing_days": "unknown"}}},
         r"sets datasets\.\*\.missing_days: 'skip'"),
        ("deep_crown", "deep-crown", {"split": {"seed": 1}}, r"sets split\.seed: 42"),
        ("ndws", "ndws", {"forecast": {"every": 2}}, r"sets forecast\.every: 1"),
        ("wsts", "ndws", {}, r"datasets\.one\.source: wsts; protocol ndws is of ndws"),
        ("wsts", "wsts", {}, "wsts-full"),
        ("wsts", "wsts-full", {"split": "year"}, "split"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_contradicts_a_protocol_is_named(source, protocol, changes, named):
    with pytest.raises(InputError, match=named):
        parse_settings(content(protocol, source, **changes))


@pytest.mark.parametrize(("protocol", "source"), [("wsts-full", "wsts"), ("ndws", "ndws")])
def test_configuration_as_written_and_variants_fit_again(protocol, source):
    changed = content(protocol, source, variants={"small": {"model": {"d_model": 32}}})
    found = parse_settings(changed)
    assert parse_settings(found.model_dump(mode="json")) == found
    assert found.variant("small").split == found.split


def test_given_content_is_not_changed():
    given = content("wsts-full", "wsts")
    parse_settings(given)
    assert given == content("wsts-full", "wsts")


def test_folds_have_splits_and_networks_of_their_own_and_share_the_features():
    one, other = (Layout(parse_settings(content("wsts-full", "wsts", split={"fold": fold}))) for fold in (0, 1))
    assert one.features("one") == other.features("one")
    assert one.split != other.split
    assert one.model(0) != other.model(0)
    assert one.forecasts("persistence", "one") != other.forecasts("persistence", "one")


def test_every_protocol_says_in_words_what_it_fixes():
    asked = {"split", "statistics", "crop", "ignored_pixels", "threshold", "pooling"}
    assert all(asked <= set(of.words) for of in PROTOCOLS.values())


def test_the_documented_configuration_is_one_and_every_protocol_is_documented():
    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert parse_settings(yaml.safe_load(example)).protocol == "wsts-full"
    assert all(f"`{name}`" in page for name in PROTOCOLS)
