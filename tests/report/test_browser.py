"""The page in a browser: it asks for nothing else, the console is silent, and it can be read wide and narrow."""

import pytest

from emberformer.report import write_report
from tests.report.chromium import PROGRAM, Chromium
from tests.report.synthetic import write_experiment

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome on the path")

WIDTHS = (1280, 390)
LEAST_TEXT = 11  # CSS pixels
SCROLLED = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
# Elements that reach beyond the window's right edge, but for those in a region that scrolls by itself.
OVERFLOWING = """[...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".scroll, pre") &&
    element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
).map(element => element.outerHTML.slice(0, 120))"""
TEXTS = """[...document.querySelectorAll("body *")].filter(element =>
    [...element.childNodes].some(node => node.nodeType == 3 && node.textContent.trim())
)"""
SMALL_TEXT = f"""{TEXTS}.filter(element => parseFloat(getComputedStyle(element).fontSize) < {LEAST_TEXT})
    .map(element => element.outerHTML.slice(0, 120))"""
FADED_TEXT = """(() => {
    const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, k) => sum + part * [0.2126, 0.7152, 0.0722][k], 0);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    return TEXTS.filter(element => {
        const both = [light(getComputedStyle(element).color), light(ground(element))];
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) < 4.5;
    }).map(element => element.outerHTML.slice(0, 120));
})()""".replace("TEXTS", TEXTS)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(*write_experiment(tmp_path_factory.mktemp("browser")))


@pytest.fixture(scope="module")
def chromium():
    with Chromium() as browser:
        yield browser


@pytest.fixture(params=WIDTHS)
def opened(request, chromium, page):
    chromium.open(page, request.param)
    chromium.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    return chromium


def test_no_request_leaves_the_page_and_the_console_is_silent(opened, page):
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.complaints == []


def test_a_request_that_would_leave_the_page_is_refused_and_seen(chromium, page):
    chromium.open(page, WIDTHS[0])
    source = "http://127.0.0.1:9/outside.png"
    chromium.evaluate(f"new Promise(done => {{ const i = new Image(); i.onerror = done; i.src = '{source}'; }})")
    assert any("Content Security Policy" in complaint for complaint in chromium.complaints)


def test_nothing_reaches_beyond_the_window(opened):
    scrolled, window = opened.evaluate(SCROLLED)
    assert scrolled <= window
    assert window in WIDTHS
    assert opened.evaluate(OVERFLOWING) == []


def test_text_is_large_and_dark_enough(opened):
    assert opened.evaluate(SMALL_TEXT) == []
    assert opened.evaluate(FADED_TEXT) == []


def test_every_picture_is_drawn(opened):
    broken = "[...document.images].filter(each => !(each.complete && each.naturalWidth > 0)).map(each => each.alt)"
    assert opened.evaluate(broken) == []


SHOWN = """[...document.querySelectorAll(".player [data-moment]")].filter(each => each.checkVisibility())
    .map(each => Number(each.dataset.moment))"""
PRESS = "document.querySelector('.player button').click()"
WORD = "document.querySelector('.player button').textContent"


def test_a_fire_is_played_stopped_and_moved_by_hand(chromium, page):
    chromium.open(page, WIDTHS[0])
    assert chromium.evaluate(SHOWN) == [1] * 3  # the middle one: forecast, outcome and sentence
    chromium.evaluate(PRESS)
    assert chromium.evaluate(WORD) == "Pause"
    assert chromium.evaluate(SHOWN) == [2] * 3
    moved = f"new Promise(done => setInterval(() => {SHOWN}.includes(0) && done(true), 20))"
    assert chromium.evaluate(moved)  # from the last to the first by itself
    chromium.evaluate(PRESS)
    assert chromium.evaluate(WORD) == "Play"
    slide = "(s => { s.value = 3; s.dispatchEvent(new Event('input')); })(document.querySelector('.player input'))"
    chromium.evaluate(slide)
    assert chromium.evaluate(SHOWN) == [2] * 3
    assert chromium.evaluate("document.querySelector('.player output').textContent") == "3 of 3"


def test_nothing_moves_by_itself_where_less_motion_is_wanted(chromium, page):
    chromium.open(page, WIDTHS[0], reduced_motion=True)
    assert chromium.evaluate(WORD) == "Next"
    chromium.evaluate(PRESS)
    chromium.evaluate("new Promise(done => setTimeout(done, 1200))")
    assert chromium.evaluate(SHOWN) == [2] * 3


def test_what_is_too_wide_too_small_or_too_faded_is_found(chromium, tmp_path):
    bad = tmp_path / "bad.html"
    parts = ["width: 500px", "font-size: 9px", "color: #999"]
    viewport = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    bad.write_text(viewport + "".join(f"<p style='{style}'>text</p>" for style in parts))
    chromium.open(bad, 390)
    scrolled, window = chromium.evaluate(SCROLLED)
    assert scrolled > window == 390
    found = [chromium.evaluate(script) for script in (OVERFLOWING, SMALL_TEXT, FADED_TEXT)]
    assert [[style for style in parts if style in "".join(elements)] for elements in found] == [[s] for s in parts]
