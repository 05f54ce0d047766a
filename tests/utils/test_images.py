"""Images in files and in memory, compared with Keras on the same files."""

from __future__ import annotations

import io
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from kgraph import config, utils
from kgraph.errors import ConfigError, DataError

PIXELS = np.random.default_rng(1).integers(0, 256, (9, 14, 4), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(PIXELS).save(folder / "rgba.png")
    Image.fromarray(PIXELS[..., :3]).save(folder / "rgb.jpg")
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 200).save(folder / "deep.png")
    return folder


OPTIONS = [
    {},
    {"color_mode": "grayscale"},
    {"color_mode": "rgba", "target_size": (5, 7), "interpolation": "bilinear"},
    {"target_size": (20, 11), "interpolation": "lanczos", "keep_aspect_ratio": True},
    {"target_size": (4, 4), "interpolation": "hamming", "keep_aspect_ratio": True},
    {"target_size": (6, 3)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_loading_is_that_of_keras(files, options):
    for path in sorted(files.iterdir()):
        made, wanted = utils.load_img(path, **options), keras.utils.load_img(path, **options)
        assert made.mode == wanted.mode
        np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))
    contents = io.BytesIO((files / "rgba.png").read_bytes())
    assert utils.load_img(contents).size == (14, 9)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first", None])
def test_arrays_of_images_are_those_of_keras(files, layout):
    for path in sorted(files.iterdir()):
        for mode in ("rgb", "grayscale"):
            image = utils.load_img(path, mode)
            made = utils.img_to_array(image, layout)
            wanted = keras.utils.img_to_array(image, layout)
            np.testing.assert_array_equal(made, wanted, strict=True)
    assert utils.img_to_array(image, dtype="uint8").dtype == np.uint8
    config.set_image_data_format("channels_first")
    assert utils.img_to_array(image).shape == (1, 9, 14)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
def test_images_of_arrays_are_those_of_keras(channels, scale):
    for array in (PIXELS[..., :channels], PIXELS[..., :channels] * 3.0, np.zeros((2, 3, channels))):
        made = utils.array_to_img(array, scale=scale)
        with pytest.MonkeyPatch.context() as patch:  # Keras gives Pillow an option that is going
            patch.setattr(Image, "fromarray", lambda data, mode=None: made_by(data))
            wanted = keras.utils.array_to_img(array, scale=scale)
        np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted), strict=True)


def made_by(data, real=Image.fromarray):
    return real(data)


def test_a_saved_image_is_loaded_again(tmp_path):
    utils.save_img(tmp_path / "a.png", PIXELS, scale=False)
    np.testing.assert_array_equal(
        utils.img_to_array(utils.load_img(tmp_path / "a.png", "rgba"), dtype="uint8"), PIXELS
    )
    with pytest.warns(UserWarning, match="fourth channel is left out"):
        utils.save_img(tmp_path / "a.JPG", PIXELS)
    assert utils.load_img(tmp_path / "a.JPG").mode == "RGB"
    file = io.BytesIO()
    utils.save_img(file, PIXELS[..., :1].transpose(2, 0, 1), "channels_first", file_format="bmp")
    assert utils.load_img(file, "grayscale").size == (14, 9)


def test_what_is_no_image(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*none\.png[\s\S]*FileNotFound"):
        utils.load_img(tmp_path / "none.png")
    with pytest.raises(DataError, match="takes a path or a BytesIO"):
        utils.load_img(3)
    with pytest.raises(ConfigError, match=r"`color_mode`[\s\S]*'hsv'"):
        utils.load_img(tmp_path, "hsv")
    with pytest.raises(ConfigError, match=r"`interpolation`[\s\S]*'gaussian'"):
        utils.load_img(tmp_path, interpolation="gaussian")
    with pytest.raises(DataError, match=r"takes one image[\s\S]*\(2, 2, 2, 2\)"):
        utils.img_to_array(np.zeros((2, 2, 2, 2)))
    with pytest.raises(DataError, match=r"1, 3 or 4 channels[\s\S]*\(2, 2, 5\)"):
        utils.array_to_img(np.zeros((2, 2, 5)))
    with pytest.raises(ConfigError, match="`data_format`"):
        utils.array_to_img(np.zeros((2, 2, 3)), "channels_middle")


WITHOUT = """
import sys
sys.modules["PIL"] = None
from kgraph import utils
assert "scipy.signal" not in sys.modules
try:
    utils.load_img("a.png")
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_pillow_the_error_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=120
    )
    assert "Pillow, which is not installed" in done.stdout, done.stderr
    assert "pip install pillow" in done.stdout
