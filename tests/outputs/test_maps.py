"""Maps and animations: size, furniture, and every kind of forecast."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib_scalebar.scalebar import ScaleBar
from PIL import Image

from emberformer.errors import InputError
from emberformer.outputs.animation import map_pictures, write_gif, write_mp4
from emberformer.outputs.grid import grid_of
from emberformer.outputs.map_furniture import wind_text
from emberformer.outputs.map_picture import draw_map, write_map
from tests.outputs.forecasts import KINDS, example, forecast_of, spreading


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_of_each_kind_says_what_it_shows(kind):
    forecast = example(kind)
    figure = draw_map(forecast, forecast.sizes["lead"])
    written = texts(figure)
    ahead = "+30 min" if kind == "one lead" else "+1 h 30 min"
    assert "Forecast of sequence_001" in written
    assert any("2023-03-30 12:30 UTC" in text and f"({ahead})" in text for text in written)
    assert any("model 0123456789ab" in text for text in written)
    assert ("Wind 5.0 m/s (18 km/h)\nfrom SW (217°)" in written) == (kind != "no wind")
    assert "N" in written
    assert any(isinstance(artist, ScaleBar) for artist in figure.axes[0].artists)


def test_the_picture_is_wide_and_its_terrain_changes_it(tmp_path):
    forecast = example("ordinary")
    heights = np.add.outer(np.arange(24.0), np.arange(30.0) ** 1.5)
    write_map(forecast, tmp_path / "plain.png")
    write_map(forecast, tmp_path / "relief.png", elevation=heights)
    plain, relief = (Image.open(tmp_path / name).convert("RGB") for name in ("plain.png", "relief.png"))
    assert plain.size == relief.size == (1600, 1280)
    assert plain.tobytes() != relief.tobytes()


def test_a_map_does_not_depend_on_the_order_of_rows():
    heights = np.add.outer(np.arange(24.0), np.arange(30.0) ** 1.5)
    upright = map_pictures(example("ordinary").isel(lead=[0]), elevation=heights)
    turned = map_pictures(example("south up").isel(lead=[0]), elevation=heights[::-1])
    np.testing.assert_array_equal(upright[1], turned[1])


def test_elevation_must_lie_on_the_grid():
    with pytest.raises(InputError, match=r"shape \(3, 3\)"):
        draw_map(example("ordinary"), 1, elevation=np.zeros((3, 3)))


def arrows(figure: Figure) -> list[np.ndarray]:
    """Directions of the arrows, (right, up), unit length."""
    found = [artist for artist in figure.axes[-1].texts if isinstance(artist, Annotation)]
    return [np.subtract(arrow.xy, arrow.get_position()) / 1.4 for arrow in found]


def test_arrows_point_north_and_with_the_wind():
    """In degrees north is up, so wind of 3 m/s to the east and 4 m/s to the north points to (0.6, 0.8)."""
    north, wind = arrows(draw_map(example("degrees"), 1))
    np.testing.assert_allclose(north, (0, 1), atol=1e-6)
    np.testing.assert_allclose(wind, (0.6, 0.8), atol=1e-6)
    turned, _ = arrows(draw_map(example("ordinary"), 1))
    assert turned[0] < -0.01  # meridians lean to the left here, by 1 degree
    assert len(arrows(draw_map(example("no wind"), 1))) == 1


def test_the_scale_bar_measures_the_ground():
    """At 34.7 S a metre of Web Mercator is 0.82 m on the ground."""
    for kind, metres in [("ordinary", 1.0), ("web mercator", np.cos(np.radians(34.74))), ("feet", 0.3048)]:
        (bar,) = (a for a in draw_map(example(kind), 1).axes[0].artists if isinstance(a, ScaleBar))
        assert bar.dx == pytest.approx(metres, rel=4e-3)


def test_the_frame_holds_the_fire_and_the_forecast():
    probability, burned = np.zeros((1, 200, 300), np.float32), np.zeros((200, 300), np.uint8)
    burned[20:24, 250:255] = 1
    probability[0, 18:30, 245:260] = 0.3
    probability[0, burned == 1] = 1
    forecast = forecast_of(probability, burned)
    left, right = draw_map(forecast, 1).axes[0].get_xlim()
    bottom, top = draw_map(forecast, 1).axes[0].get_ylim()
    transform = grid_of(forecast).transform
    assert left < (transform * (245, 18))[0] < (transform * (260, 30))[0] < right
    assert bottom < (transform * (245, 30))[1] < (transform * (245, 18))[1] < top
    assert right - left == top - bottom < 40 * 30


@pytest.mark.parametrize(
    ("wind", "text"),
    [((0.0, 0.01), "No wind"), (None, "Wind not known"), ((-10.0, 0.0), "Wind 10.0 m/s (36 km/h)\nfrom E (90°)")],
)
def test_wind_in_words(wind, text):
    assert wind_text(wind) == text


def test_a_gif_has_a_frame_for_now_and_for_each_lead(tmp_path):
    write_gif(map_pictures(forecast_of(*spreading())), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        assert (getattr(animation, "n_frames", 1), animation.size, animation.info["loop"]) == (4, (1000, 800), 0)
        frames = []
        for place in range(4):
            animation.seek(place)
            frames.append(animation.convert("RGB").tobytes())
    assert len(set(frames)) == 4


def test_a_video_has_all_frames(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    pictures = [np.full((64, 80, 3), level, np.uint8) for level in (0, 120, 255)]
    write_mp4(pictures, tmp_path / "a.mp4")
    frames, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert frames == 9 + 9 + 25
    assert seconds == pytest.approx(4.3, abs=0.2)


def test_without_ffmpeg_the_way_to_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"pip install 'emberformer\[video\]'"):
        write_mp4([np.zeros((64, 80, 3), np.uint8)], tmp_path / "a.mp4")
