"""The page: complete, self-contained, the same for the same inputs, and loud about untrained weights."""

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from emberformer.errors import InputError
from emberformer.report import write_report
from emberformer.report.figures import training_curves
from emberformer.report.sources import read_curves
from tests.report.synthetic import write_experiment

VOID = {"meta", "img", "br", "link", "input"}
SECTIONS = [
    "short",
    "animation",
    "maps",
    "circumstances",
    "data",
    "new",
    "whole",
    "perimeters",
    "differences",
    "reliability",
    "interpretation",
    "training",
    "methods",
    "reading",
    "provenance",
]


class Page(HTMLParser):
    """What the tests ask of a page; fails where tags are not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.bold, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "script"):
            self.text += data
        if self.open and self.open[-1] == ("td", {"class": "best"}):
            self.bold.append(data.strip())


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(experiment):
    path = write_report(*experiment)
    assert path == experiment[1].report
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_loaded_from_elsewhere(page, text):
    assert not {"link", "iframe", "object", "base"} & set(page.tags)
    assert page.tags.count("script") == 1
    for tag, attributes in page.attributes:
        assert not {"srcset", "poster", "action", "background", "data"} & set(attributes)
        assert tag != "script" or not attributes
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert tag == "a" or "href" not in attributes
    assert not re.search(r"@import|url\(", text)
    for picture in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text):
        drawing = base64.b64decode(picture).decode()
        assert not re.search(r"(href|src)=\"(?!#)", drawing)


def test_a_browser_is_told_to_load_nothing_and_to_run_the_one_script(page, text):
    (policy,) = (a["content"] for _, a in page.attributes if a.get("http-equiv") == "Content-Security-Policy")
    script = re.findall(r"<script>(.*)</script>", text, re.DOTALL)[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{allowed}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not re.search(r"fetch|XMLHttp|WebSocket|EventSource|sendBeacon|import|https?:|location", script)


def test_sections_stand_in_order_and_links_within_the_page_lead_somewhere(page):
    names = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert names == SECTIONS
    targets = [a["href"][1:] for tag, a in page.attributes if tag == "a" and a["href"].startswith("#")]
    assert sorted(targets) == sorted([*SECTIONS, "reading"])  # the opening names the scores, too


def test_every_picture_says_what_it_shows(page):
    alts = [attributes["alt"] for tag, attributes in page.attributes if tag == "img"]
    assert alts.count("") == 2  # the ground under the two pictures of the animation
    said = [alt for alt in alts if alt]
    # differences, wind and history, training, reliability, four maps a fire, three steps of forecast and outcome
    assert len(said) == 2 + 2 + 2 + 2 + 3 * 4 + 3 * 2
    assert all(len(alt) > 30 for alt in said)
    assert any("minus distance +0.312 (+0.205 to +0.411)" in alt for alt in alts)


def test_tables_hold_the_scores_with_intervals_and_mark_the_best(page):
    for number in ("0.812", "0.802–0.832", "0.745", "0.0123", "0.500", "3.21 %"):
        assert number in page.text
    assert {"0.812", "0.745", "0.0123", "0.0045"} <= set(page.bold)
    assert not {"0.050", "0.500", "0.450"} & set(page.bold)


def test_calibration_is_told_before_and_after(page):
    row = r"EmberFormer, seed 0 0\.90 1\.44 −0\.87 0\.0062 → 0\.0045 0\.0131 → 0\.0123 – → –"
    assert re.search(row, " ".join(page.text.split()))
    assert "0.0062 → 0.0045" in page.bold
    assert not {"1.44", "– → –"} & set(page.bold)
    (alt,) = [a["alt"] for tag, a in page.attributes if tag == "img" and "Reliability" in a["alt"]]
    assert "; EmberFormer, seed 0 before calibration 0.03 0.00, " in alt


def test_fires_shown_are_the_best_the_median_and_the_worst(page):
    heads = re.findall(r"(Best|Median|Worst) test fire: (\w+) of valley, new-fire AP ([\d.]+)", page.text)
    assert heads == [("Best", "fire_4", "0.930"), ("Median", "fire_3", "0.710"), ("Worst", "fire_5", "0.420")]
    assert "wind 5.0 m/s towards north-east" in page.text
    assert "hits 56" in page.text  # 9 x 9 forecast without the 5 x 5 that burned
    assert "misses 88" in page.text  # 13 x 13 burned without the forecast


def test_title_line_says_what_when_and_where(page):
    assert "Burned area 30 min ahead, from every frame of 3 test fires of valley" in page.text
    assert "2021-02-03 to 2021-02-03" in page.text


def test_the_page_opens_with_the_question_and_the_answer_in_hectares(page):
    said = " ".join(page.text.split())
    assert "which ground will have burned 30 min later?" in said
    assert "EmberFormer answered 9 times for 3 fires kept aside from its training." in said
    assert "It was told the wind of the time it forecasts" in said
    assert "Of every 100 hectares that burned anew, EmberFormer had marked 80; of every 100" in said
    assert "hectares that it marked, 70 burned." in said
    assert "The strongest rival, distance, finds 50, and 40 are right." in said


def test_it_says_where_it_fails_and_on_which_data(page):
    said = " ".join(page.text.split())
    assert "Wind: F1 is lowest, 0.61, at < 3.4 m/s, and highest, 0.80, at ≥ 8 m/s." in said
    assert "1.2 × 1.2 km in cells of 30 m" in said
    assert "20, one every 30 min" in said


def test_verdict_stands_on_the_page(page):
    assert "EmberFormer beats all 2 baselines (persistence and distance) on new fire." in page.text


def test_provenance_names_weights_and_settings(page):
    assert "SHA-256 of the weights 5eed" in page.text
    assert "commit c0ffee" in page.text
    assert "learning_rate: 0.001" in page.text


def test_random_weights_are_said_loudly_and_only_then(page, tmp_path):
    assert "weights are RANDOM" in page.text
    settings, layout = write_experiment(tmp_path, weights="facebook/dinov2-small")
    assert "RANDOM" not in write_report(settings, layout).read_text(encoding="utf-8")


def test_features_of_random_weights_are_said_even_if_the_settings_name_others(tmp_path):
    settings, layout = write_experiment(tmp_path, weights="facebook/dinov2-small")
    root = layout.features("valley") / "zarr.json"
    root.write_text(root.read_text().replace("facebook/dinov2-small", "random"))
    assert "weights are RANDOM" in write_report(settings, layout).read_text(encoding="utf-8")


def test_equal_inputs_give_equal_bytes_below_three_megabytes(experiment, text):
    assert write_report(*experiment).read_text(encoding="utf-8") == text
    assert len(text.encode()) < 3e6


def test_missing_optional_inputs_are_named(tmp_path):
    settings, layout = write_experiment(tmp_path, curves=False)
    (layout.features("valley") / "zarr.json").unlink()
    said = Page(write_report(settings, layout).read_text(encoding="utf-8")).text
    assert "No interpretation of EmberFormer, seed 0 on valley: run `emberformer interpret`." in said
    assert "No training curves of EmberFormer, seed 0" in said
    assert "features of valley" in said
    assert "not found" in said


def test_torn_training_curves_are_read_as_far_as_they_go(tmp_path):
    _, layout = write_experiment(tmp_path, curves=False)
    metrics = layout.model(0) / "metrics.csv"
    metrics.write_text("epoch,train/loss\n0,\n0,0.5\n1,0.25\n")
    curves, missing = read_curves(layout)
    assert not missing
    loss, score = training_curves(curves["emberformer"])
    assert "training of seed 0 from 0.500 to 0.250" in loss.alt
    assert "no values" in score.alt
    metrics.write_text("")
    assert read_curves(layout)[0] == {}


def test_no_page_is_written_without_a_table(tmp_path):
    settings, layout = write_experiment(tmp_path)
    (layout.scores / "per_fire.csv").unlink()
    with pytest.raises(InputError, match=re.escape("per_fire.csv")):
        write_report(settings, layout)
    assert not layout.report.exists()


def test_report_does_not_import_torch():
    code = "import sys, emberformer.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
