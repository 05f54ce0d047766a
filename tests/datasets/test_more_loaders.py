"""IMDB, Reuters and the house prices, on small files made here in the original formats."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import pickle
import zipfile
from contextlib import contextmanager

import keras
import numpy as np
import pytest

from kgraph.datasets import boston_housing, california_housing, imdb, reuters
from kgraph.datasets.download import RemoteFile
from kgraph.datasets.ragged_npz import load_ragged
from kgraph.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


def texts(count):
    made = np.empty(count, object)
    made[:] = [RNG.integers(1, 30, RNG.integers(1, 9)).tolist() for _ in range(count)]
    return made


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@contextmanager
def keras_reads(path, module):
    """Lets a loader of Keras read a local file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "get_file", lambda *_, **__: str(path))
        yield


def same(made, wanted):
    for ours, theirs in zip(made, wanted, strict=True):
        for own, other in zip(ours, theirs, strict=True):
            assert [list(x) if isinstance(x, list) else x for x in own] == list(other)


OPTIONS = [
    {},
    {"num_words": 20, "skip_top": 6, "seed": 4},
    {"num_words": 15, "oov_char": None, "maxlen": 7},
    {"start_char": None, "index_from": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_word_lists_are_those_of_keras(server, monkeypatch, tmp_path, options):
    files = {
        imdb: npz(
            x_train=texts(9), y_train=RNG.integers(0, 2, 9),
            x_test=texts(7), y_test=RNG.integers(0, 2, 7),
        ),
        reuters: npz(x=texts(20), y=RNG.integers(0, 46, 20)),
    }  # fmt: skip
    for module, contents in files.items():
        name = module.FILE.name
        monkeypatch.setattr(module, "FILE", server.offer(name, contents))
        (tmp_path / name).write_bytes(contents)
        theirs = getattr(keras.src.datasets, name.removesuffix(".npz"))
        with keras_reads(tmp_path / name, theirs):
            wanted = theirs.load_data(**options)
        made = module.load_data(**options)
        same(made, wanted)
        assert made[0][0].dtype == object
        assert made[0][1].dtype == np.asarray(wanted[0][1]).dtype


def test_house_prices_are_those_of_keras(server, monkeypatch, tmp_path):
    contents = npz(x=RNG.normal(size=(650, 3)), y=RNG.normal(size=650))
    (tmp_path / "a.npz").write_bytes(contents)
    for module, cases in (
        (boston_housing, [{}, {"test_split": 0.5, "seed": 3}]),
        (california_housing, [{}, {"version": "small", "test_split": 0}]),
    ):
        monkeypatch.setattr(module, "FILE", server.offer(module.FILE.name, contents))
        theirs = getattr(keras.src.datasets, module.FILE.name.removesuffix(".npz"))
        for options in cases:
            with keras_reads(tmp_path / "a.npz", theirs):
                wanted = theirs.load_data(**options)
            for ours, other in zip(module.load_data(**options), wanted, strict=True):
                for own, array in zip(ours, other, strict=True):
                    np.testing.assert_array_equal(own, array, strict=True)


def test_word_indices_and_labels(server, monkeypatch):
    index = {"the": 1, "né": 2}
    contents = json.dumps(index).encode()
    for module in (imdb, reuters):
        name = module.WORDS.name
        url = server.offer(name, contents).url
        words = RemoteFile(name, url, md5=hashlib.md5(contents).hexdigest())
        monkeypatch.setattr(module, "WORDS", words)
        assert module.get_word_index() == index
        monkeypatch.setattr(module, "WORDS", RemoteFile(name, url, md5="0" * 32))
        with pytest.raises(DataError, match=r"wrong contents[\s\S]*its md5 must be 0000"):
            module.get_word_index("other.json")
    assert reuters.get_label_names() == keras.datasets.reuters.get_label_names()


def test_arguments_are_those_of_keras():
    for module in (imdb, reuters, boston_housing, california_housing):
        theirs = getattr(keras.datasets, module.__name__.rpartition(".")[2])
        wanted = inspect.signature(theirs.load_data).parameters
        given = inspect.signature(module.load_data).parameters
        named = {n: p.default for n, p in wanted.items() if n != "kwargs"}
        assert {n: p.default for n, p in given.items()} == named


def test_pinned_files_are_those_of_keras():
    for module in (imdb, reuters, boston_housing, california_housing):
        name = module.__name__.rpartition(".")[2]
        source = inspect.getsource(getattr(keras.src.datasets, name))
        for file in (module.FILE, getattr(module, "WORDS", module.FILE)):
            assert file.wanted.partition(":")[2] in source
            assert file.url.rpartition("/")[0] in source
            assert file.name in source


class Hostile:
    def __reduce__(self):
        return print, ("owned",)


HOSTILE = {
    "code": (Hostile(), r"asks for builtins\.print"),
    "floats": ([1.5], "not lists of whole"),
    "texts": ("ab", "not an array of lists"),
}


@pytest.mark.parametrize(("value", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_word_lists_are_refused(tmp_path, value, text, capsys):
    made = np.empty(1, object)
    made[0] = value
    (tmp_path / "a.npz").write_bytes(npz(x=made, y=np.zeros(1)))
    with pytest.raises(DataError, match=rf"x of a\.npz is not a pickled array[\s\S]*{text}"):
        load_ragged(tmp_path / "a.npz", ("x", "y"))
    assert capsys.readouterr().out == ""


def test_other_files_are_refused(server, monkeypatch, tmp_path):
    (tmp_path / "a.npz").write_bytes(npz(x=np.zeros(1)))
    with pytest.raises(DataError, match=r"not the expected file[\s\S]*expected  x, y"):
        load_ragged(tmp_path / "a.npz", ("x", "y"))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps([1]))
    with pytest.raises(DataError, match=r"x of b\.npz is no array"):
        load_ragged(tmp_path / "b.npz", ("x",))
    monkeypatch.setattr(boston_housing, "FILE", server.offer("c.npz", npz(x=np.zeros(2))))
    with pytest.raises(DataError, match="no y"):
        boston_housing.load_data()
    with pytest.raises(DataError, match="`test_split`"):
        reuters.load_data(test_split=1)
    with pytest.raises(ConfigError, match="`version`"):
        california_housing.load_data("medium")
