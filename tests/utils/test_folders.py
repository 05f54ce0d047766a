"""Datasets of the images, texts and sounds in a folder."""

from __future__ import annotations

import wave

import keras
import numpy as np
import pytest
from PIL import Image

import kgraph
from kgraph import utils
from kgraph.data import mapped
from kgraph.errors import ConfigError, DataError
from kgraph.utils.resampling import METHODS, cropped, padded, resized
from kgraph.utils.wav import read_wav, with_rate

RNG = np.random.default_rng(0)
index_directory = keras.src.utils.dataset_utils.index_directory
part_of = keras.src.utils.dataset_utils.get_training_or_validation_split
load_as_keras = keras.src.utils.image_dataset_utils._load_image_grain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, texts and sounds of two classes, some in folders of their own."""
    root = tmp_path_factory.mktemp("data")
    for kind, count in (("cats", 5), ("dogs", 4)):
        for i in range(count):
            place = root / kind / ("more" if i % 2 else "")
            place.mkdir(parents=True, exist_ok=True)
            pixels = RNG.integers(0, 256, (9 + i, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{i}.{'PNG' if i == 2 else 'png'}")
            (place / f"{i}.txt").write_text(f"{kind} née {i}", encoding="utf-8")
            write_wav(place / f"{i}.wav", RNG.integers(-(2**15), 2**15, (6 + i, 2)), 2)
    (root / ".hidden").mkdir()  # no class, but its files count where folders are no classes
    Image.fromarray(pixels).save(root / ".hidden" / "0.png")
    (root / "notes.md").write_text("no data")
    return root


def write_wav(path, samples, width, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        shift = 128 if width == 1 else 0
        signed = width > 1
        data = b"".join(
            int(s + shift).to_bytes(width, "little", signed=signed) for s in samples.flat
        )
        file.writeframes(data)


def test_texts_of_a_folder_go_through_steps(folder):
    texts = utils.text_dataset_from_directory(folder, batch_size=2, shuffle=False, verbose=False)
    lengths = texts.map(lambda text, label: ([len(t) for t in text], label)).take(2)
    assert len(lengths) == 2
    assert [found for found, _ in lengths] == [[10, 10], [10, 10]]


def images(folder, **options):
    options = {"verbose": False, "image_size": (6, 8), "batch_size": 4, **options}
    return utils.image_dataset_from_directory(folder, **options)


# files and labels


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False},
        {"seed": 3},
        {"seed": 3, "class_names": ["dogs", "cats"]},
        {"seed": 3, "labels": [0, 7, 7, 0, 1, 1, 1, 0, 7, 7]},
        {"shuffle": False, "labels": None},
    ],
    ids=str,
)
def test_files_labels_and_classes_are_those_of_keras(folder, options):
    made = images(folder, **options)
    labels = options.pop("labels", "inferred")
    shuffle = options.pop("shuffle", True)
    paths, numbers, names = index_directory(
        str(folder), labels, (".png",), shuffle=shuffle, verbose=False, **options
    )
    assert (made.file_paths, made.class_names) == (paths, names)
    if labels is not None:
        made.shuffled = False
        made.set_pass(0)
        given = np.concatenate([made[i][1] for i in range(len(made))])
        np.testing.assert_array_equal(given, np.asarray(numbers, np.int32), strict=True)
    else:
        assert made[0].shape == (4, 6, 8, 3)


def test_parts_are_those_of_keras_and_share_no_file(folder):
    train, held = images(folder, validation_split=0.3, subset="both", seed=5)
    paths, labels, _ = index_directory(
        str(folder), "inferred", (".png",), shuffle=True, seed=5, verbose=False
    )
    for made, subset in ((train, "training"), (held, "validation")):
        assert made.file_paths == part_of(paths, labels, 0.3, subset)[0]
        alone = images(folder, validation_split=0.3, subset=subset, seed=5)
        assert alone.file_paths == made.file_paths
    assert (train.shuffled, held.shuffled) == (True, False)
    assert not set(train.file_paths) & set(held.file_paths)


def test_label_modes(folder):
    wanted = np.repeat([0, 1], [5, 4])
    modes = {
        "int": wanted.astype(np.int32),
        "binary": wanted.astype(np.float32)[:, None],
        "categorical": np.eye(2, dtype=np.float32)[wanted],
    }
    for mode, labels in modes.items():
        made = images(folder, label_mode=mode, shuffle=False, batch_size=9)
        np.testing.assert_array_equal(made[0][1], labels, strict=True)
    assert images(folder, label_mode=None)[0].shape == (4, 6, 8, 3)
    single, label = images(folder, batch_size=None, shuffle=False)[0]
    assert (single.shape, label) == ((6, 8, 3), 0)


def test_what_was_found_is_told(folder, capsys):
    images(folder, verbose=True)
    images(folder, verbose=True, label_mode=None, validation_split=0.5, subset="training", seed=0)
    assert capsys.readouterr().out.splitlines() == [
        "Found 9 files belonging to 2 classes.",
        "Found 10 files.",
        "Using 5 files for training.",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"label_mode": "bool"}, "`label_mode`"),
        ({"labels": "infer"}, r'"inferred", None, or a list'),
        ({"labels": [1, 2]}, r"one label for each file[\s\S]*10 labels"),
        ({"labels": [0, 3] * 5, "label_mode": "categorical"}, r"from 0 to 1[\s\S]*0, 3"),
        ({"labels": [0] * 10, "class_names": ["cats"]}, "`class_names` with labels"),
        ({"class_names": ["cats", "cows"]}, r"no folder for 'cows'[\s\S]*cats, dogs"),
        ({"class_names": ["cats"], "label_mode": "binary"}, "needs two classes"),
        ({"validation_split": 0.2}, "both of `validation_split` and `subset`"),
        ({"validation_split": 1.5, "subset": "both"}, "between 0 and 1"),
        ({"validation_split": 0.2, "subset": "both"}, "needs a `seed`"),
        ({"color_mode": "hsv"}, "`color_mode`"),
        ({"interpolation": "area"}, "`interpolation`"),
        ({"image_size": (1, 2, 3)}, "a height and a width"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "both crop and pad"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(folder, options, text):
    with pytest.raises(ConfigError, match=text):
        images(folder, **options)


def test_folders_without_data(folder, tmp_path):
    with pytest.raises(DataError, match=r"finds no files[\s\S]*\.bmp, \.gif"):
        images(tmp_path)
    with pytest.raises(DataError, match="needs a folder"):
        images(tmp_path / "none")
    with pytest.raises(DataError, match="leaves no files on one side"):
        images(folder, validation_split=0.01, subset="both", seed=0)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"image cannot be read[\s\S]*bad\.png"):
        images(tmp_path)[0]


# images


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "options",
    [
        {"data_format": "channels_first", "image_size": (7, 5)},
        pytest.param({}, marks=SLOW),
        pytest.param({"interpolation": "nearest", "color_mode": "grayscale"}, marks=SLOW),
        pytest.param({"color_mode": "rgba", "crop_to_aspect_ratio": True}, marks=SLOW),
        pytest.param({"pad_to_aspect_ratio": True, "image_size": (20, 30)}, marks=SLOW),
    ],
    ids=str,
)
def test_images_are_those_of_keras(folder, options):
    made = images(folder, shuffle=False, batch_size=9, label_mode=None, **options)
    channels = {"rgb": 3, "rgba": 4, "grayscale": 1}[options.get("color_mode", "rgb")]
    for image, path in list(zip(made[0], made.file_paths))[::4]:
        wanted = load_as_keras(
            path,
            options.get("image_size", (6, 8)),
            channels,
            options.get("interpolation", "bilinear"),
            options.get("data_format", "channels_last"),
            options.get("crop_to_aspect_ratio", False),
            options.get("pad_to_aspect_ratio", False),
        )
        np.testing.assert_allclose(image, np.asarray(wanted), atol=2e-3)
        assert image.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_resizing_is_that_of_keras(method):
    image = RNG.normal(size=(9, 12, 2)).astype(np.float32)
    for size, change, name in (
        ((3, 5), lambda image, _: image, "none"),
        ((17, 11), cropped, "crop_to_aspect_ratio"),
        ((9, 4), padded, "pad_to_aspect_ratio"),
    ):
        more = {} if name == "none" else {name: True}
        wanted = keras.ops.image.resize(image, size, interpolation=method, **more)
        made = resized(change(image, size), size, method)
        np.testing.assert_allclose(made, np.asarray(wanted), atol=2e-5)


def test_fit_evaluate_and_predict_take_it_and_a_seed_repeats_it(folder):
    def train():
        utils.set_random_seed(1)
        data = images(folder, label_mode="binary", seed=2)
        model = kgraph.Sequential(
            [kgraph.Input((6, 8, 3)), kgraph.layers.Flatten(), kgraph.layers.Dense(1)]
        )
        model.compile(kgraph.optimizers.SGD(1e-7), "mse")
        return model, data, model.fit(data, epochs=2, verbose=0).history["loss"]

    (model, data, losses), (_, _, again) = train(), train()
    assert losses == again
    assert losses[1] < losses[0]
    assert model.predict(data, verbose=0).shape == (9, 1)
    assert np.isfinite(model.evaluate(data, verbose=0))


# texts


def test_texts_and_what_a_layer_makes_of_them(folder):
    made = utils.text_dataset_from_directory(folder, shuffle=False, batch_size=4, verbose=False)
    texts, labels = made[0]
    assert texts == ["cats née 0", "cats née 2", "cats née 4", "cats née 1"]
    assert labels.tolist() == [0, 0, 0, 0]
    assert (made.class_names, len(made)) == (["cats", "dogs"], 3)
    short = utils.text_dataset_from_directory(folder, max_length=6, shuffle=False, verbose=False)
    assert short[0][0][0] == "cats n"
    vectorize = kgraph.layers.TextVectorization(output_sequence_length=3)
    vectorize.adapt([text for batch, _ in made for text in batch])
    ids, _ = next(iter(mapped(made, lambda x, y: (vectorize(x), y))))
    assert np.asarray(ids).shape == (4, 3)


def test_a_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    made = utils.text_dataset_from_directory(tmp_path, labels=None, verbose=False)
    with pytest.raises(DataError, match=r"not UTF-8[\s\S]*a\.txt"):
        made[0]


# sounds


def test_sounds_are_filled_up_or_cut(folder):
    made = utils.audio_dataset_from_directory(folder, shuffle=False, batch_size=5, verbose=False)
    sounds, _ = made[0]
    assert sounds.shape == (5, 10, 2)
    first, _ = read_wav(made.file_paths[0])
    np.testing.assert_array_equal(sounds[0, : len(first)], first)
    assert (sounds[0, len(first) :] == 0).all()
    cut = utils.audio_dataset_from_directory(folder, output_sequence_length=7, verbose=False)
    assert cut[0][0].shape == (9, 7, 2)
    both = utils.audio_dataset_from_directory(
        folder, validation_split=0.5, subset="both", seed=0, verbose=False
    )
    assert isinstance(both, tuple)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_each_width(tmp_path, width):
    most = 2 ** (8 * width - 1)
    samples = np.array([[0, -most], [most - 1, most // 2], [-1, 1]])
    write_wav(tmp_path / "a.wav", samples, width, rate=11025)
    sound, rate = read_wav(str(tmp_path / "a.wav"))
    np.testing.assert_array_equal(sound, (samples / most).astype(np.float32), strict=True)
    assert rate == 11025


def test_another_rate_keeps_the_tone():
    steps = np.arange(800) / 800
    tone = np.sin(2 * np.pi * 20 * steps)[:, None].astype(np.float32)
    made = with_rate(tone, 800, 500)
    wanted = np.sin(2 * np.pi * 20 * np.arange(500) / 500)[:, None]
    np.testing.assert_allclose(made[50:-50], wanted[50:-50], atol=0.01)


def test_what_sounds_cannot_be(folder, tmp_path):
    with pytest.raises(ConfigError, match="no ragged batches"):
        utils.audio_dataset_from_directory(folder, ragged=True)
    with pytest.raises(ConfigError, match=r"`sampling_rate`[\s\S]*0\.5"):
        utils.audio_dataset_from_directory(folder, sampling_rate=0.5)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    made = utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)
    with pytest.raises(DataError, match=r"sound cannot be read[\s\S]*bad\.wav"):
        made[0]
    for name, channels in (("bad", 1), ("good", 2)):
        write_wav(tmp_path / f"{name}.wav", np.zeros((3, channels), int), 2)
    with pytest.raises(DataError, match=r"differ in their channels[\s\S]*1\s+2"):
        made = utils.audio_dataset_from_directory(tmp_path, labels=None, verbose=False)[0]
