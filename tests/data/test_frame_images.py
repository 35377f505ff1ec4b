"""Frames as images: every mode that PNG has gives the same burned pixels, or a refusal."""

import numpy as np
import pytest
from PIL import Image

from emberformer.data.fires import Window
from emberformer.data.frame_images import decode_burned
from emberformer.data_settings import EncodingSettings
from emberformer.errors import InputError
from tests.tiny import BURNED, UNBURNED


def _decode(tmp_path, image, **encoding):
    path = tmp_path / "fire.png"
    image.save(path)
    window = Window(0, 0, image.height, image.width)
    return decode_burned(path.read_bytes(), path, window, EncodingSettings.model_validate(encoding))


@pytest.mark.parametrize(
    ("mode", "encoding"),
    [
        ("RGBA", {}),
        ("RGB", {}),
        ("P", {}),
        ("L", {"channel": 0, "value": 215}),  # grey of the burned colour
        ("LA", {"channel": 0, "value": 215}),
        ("1", {"channel": 0, "value": 255}),
    ],
)
def test_images_of_all_modes(tmp_path, mode, encoding):
    burned = np.arange(12).reshape(3, 4) % 3 == 0
    colours = np.where(burned[..., None], BURNED, UNBURNED).astype("uint8")
    image = Image.fromarray(colours)
    if mode == "P":
        image = image.convert("RGB").quantize(4)
    elif mode == "1":
        image = Image.fromarray(burned)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    decoded = _decode(tmp_path, image, **encoding)
    np.testing.assert_array_equal(decoded, burned)
    assert decoded.dtype == np.uint8


def test_image_without_the_channel(tmp_path):
    with pytest.raises(
        InputError, match=r"(?s)fire\.png.*mode 'L' with channels L.*a channel 1.*a grey image has channel 0"
    ):
        _decode(tmp_path, Image.new("L", (4, 3)))


def test_image_of_sixteen_bits(tmp_path):
    with pytest.raises(InputError, match=r"(?s)mode 'I;16'.*8 bits a channel"):
        _decode(tmp_path, Image.fromarray(np.zeros((3, 4), "uint16")), channel=0)
