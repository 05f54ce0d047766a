"""The loaders on small files made here in the original formats."""

from __future__ import annotations

import gzip
import inspect
import io
import os
import pickle
import struct
import tarfile
from typing import ClassVar

import keras
import numpy as np
import pytest

from kgraph import config
from kgraph.datasets import cifar10, cifar100, digits, fashion_mnist, mnist
from kgraph.datasets.cifar import read_members
from kgraph.datasets.idx import read_idx_gz
from kgraph.datasets.inert_pickle import load_arrays
from kgraph.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


class _Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and its NumPy wrote: byte strings, and the old name of a module."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_global(self, obj, name=None):
        if getattr(obj, "__name__", "") == "_reconstruct":
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch[bytes] = save_bytes
    dispatch[type(np.empty(0).__reduce__()[0])] = save_global


def python2_pickle(value):
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def tar_gz(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return file.getvalue()


def pixels(rows):
    return RNG.integers(0, 256, (rows, 3072), dtype=np.uint8)


def idx_gz(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


# digits


def test_digits_are_the_whole_set_split_by_class():
    (x, y), (x_test, y_test) = digits.load_data()
    assert (x.shape, x_test.shape) == ((1438, 8, 8), (359, 8, 8))
    assert {a.dtype for a in (x, y, x_test, y_test)} == {np.dtype("uint8")}
    assert (min(x.min(), x_test.min()), max(x.max(), x_test.max())) == (0, 16)
    both = np.bincount(y) + np.bincount(y_test)
    assert both.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's own counts
    assert (abs(np.bincount(y_test) - 0.2 * both) <= 0.5).all()
    with np.load(digits._FILE, allow_pickle=False) as file:
        rows = {image.tobytes() for image in file["images"]}
    assert {image.tobytes() for image in (*x, *x_test)} == rows


def test_digits_split_depends_on_the_seed_alone():
    (x, y), _ = digits.load_data()
    (again, y_again), _ = digits.load_data()
    assert (x == again).all()
    assert (y == y_again).all()
    assert (digits.load_data(seed=1)[0][0] != x).any()
    assert len(digits.load_data(test_split=0.5)[1][0]) == pytest.approx(1797 / 2, abs=10)


@pytest.mark.parametrize("split", [0, 1, -0.5, "0.2"])
def test_digits_refuse_a_bad_split(split):
    with pytest.raises(DataError, match="`test_split` cannot be"):
        digits.load_data(split)


def test_digits_refuse_an_empty_side():
    with pytest.raises(DataError, match=r"leaves one set empty[\s\S]*0 to test on"):
        digits.load_data(1e-6)


# MNIST and Fashion-MNIST


def test_mnist(server, monkeypatch, cache):
    parts = {
        "x_train": RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": RNG.integers(0, 256, (2, 28, 28), dtype=np.uint8),
        "y_test": np.arange(2, dtype=np.uint8),
    }
    file = io.BytesIO()
    np.savez(file, **parts)
    monkeypatch.setattr(mnist, "FILE", server.offer("mnist.npz", file.getvalue()))
    (x_train, y_train), (x_test, y_test) = mnist.load_data("other.npz")
    for made, wanted in zip((x_train, y_train, x_test, y_test), parts.values()):
        np.testing.assert_array_equal(made, wanted, strict=True)
    assert (cache / "other.npz").exists()


def test_mnist_refuses_pickled_arrays_and_other_files(server, monkeypatch):
    file = io.BytesIO()
    np.savez(file, x_train=np.zeros(2))
    monkeypatch.setattr(mnist, "FILE", server.offer("mnist.npz", file.getvalue()))
    with pytest.raises(DataError, match=r"not the MNIST file[\s\S]*no y_train, x_test, y_test"):
        mnist.load_data()


def test_fashion_mnist(server, monkeypatch, cache):
    arrays = {
        "x_train": RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": RNG.integers(0, 256, (2, 28, 28), dtype=np.uint8),
        "y_test": np.arange(2, dtype=np.uint8),
    }
    names = {key: file.name for key, file in fashion_mnist.FILES.items()}
    files = {key: server.offer(names[key], idx_gz(array)) for key, array in arrays.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    for made, wanted in zip((x_train, y_train, x_test, y_test), arrays.values()):
        np.testing.assert_array_equal(made, wanted, strict=True)
        assert made.flags.writeable
    assert (cache / "fashion-mnist" / "train-images-idx3-ubyte.gz").exists()


@pytest.mark.parametrize(
    ("contents", "text"),
    # Named, because gzip writes the time of day into its bytes and parallel workers compare names.
    [
        (b"not gzip", "damaged"),
        (idx_gz(np.zeros(40, np.uint8))[:-12], "damaged"),
        (gzip.compress(b"\0\0\x08"), "damaged"),
        (gzip.compress(struct.pack(">HBBI", 0, 8, 1, 5) + b"1234"), r"5 values.*[\s\S]*4 values"),
        (gzip.compress(struct.pack(">HBBI", 0, 13, 1, 1) + b"1234"), "type 0x0d"),
    ],
    ids=["plain", "cut", "short header", "missing values", "floats"],
)
def test_damaged_idx_files(tmp_path, contents, text):
    (tmp_path / "file.gz").write_bytes(contents)
    with pytest.raises(DataError, match=text):
        read_idx_gz(tmp_path / "file.gz")


# CIFAR


def cifar10_members(rows=3):
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        f"cifar-10-batches-py/{name}": python2_pickle(
            {
                b"batch_label": name.encode(),
                b"labels": RNG.integers(0, 10, rows).tolist(),
                b"data": pixels(rows),
                b"filenames": [b"a.png"] * rows,
            }
        )
        for name in reversed(names)  # as in the original, not in the order of the batches
    }


def keras_batches(tmp_path, members, names, key):
    """Reads the same pickles with Keras."""
    images, labels = [], []
    for i, name in enumerate(names):
        path = tmp_path / f"batch{i}"
        path.write_bytes(members[name])
        x, y = keras.src.datasets.cifar.load_batch(str(path), key)
        images.append(x.transpose(0, 2, 3, 1))
        labels.append(np.reshape(y, (-1, 1)).astype("uint8"))
    return np.concatenate(images), np.concatenate(labels)


def test_cifar10_reads_what_keras_reads(server, monkeypatch, tmp_path, cache):
    members = cifar10_members()
    monkeypatch.setattr(cifar10, "FILE", server.offer("cifar-10-python.tar.gz", tar_gz(members)))
    train, test = cifar10.load_data()
    names = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
    wanted = keras_batches(tmp_path, members, names, "labels")
    for made, expected in zip(train, wanted):
        np.testing.assert_array_equal(made, expected, strict=True)
    assert [a.shape for a in (*train, *test)] == [(15, 32, 32, 3), (15, 1), (3, 32, 32, 3), (3, 1)]
    assert [path.name for path in cache.iterdir()] == ["cifar-10-python.tar.gz"]  # not extracted
    config.set_image_data_format("channels_first")
    np.testing.assert_array_equal(cifar10.load_data()[0][0].transpose(0, 2, 3, 1), train[0])


@pytest.mark.parametrize("mode", ["fine", "coarse"])
def test_cifar100_reads_what_keras_reads(server, monkeypatch, tmp_path, mode):
    members = {
        f"cifar-100-python/{name}": python2_pickle(
            {
                b"data": pixels(4),
                b"fine_labels": RNG.integers(0, 100, 4).tolist(),
                b"coarse_labels": RNG.integers(0, 20, 4).tolist(),
            }
        )
        for name in ("train", "test")
    }
    monkeypatch.setattr(cifar100, "FILE", server.offer("cifar-100.tar.gz", tar_gz(members)))
    for name, made in zip(members, cifar100.load_data(mode)):
        wanted = keras_batches(tmp_path, members, [name], f"{mode}_labels")
        for array, expected in zip(made, wanted):
            np.testing.assert_array_equal(array, expected, strict=True)


def test_cifar100_refuses_another_label_mode():
    with pytest.raises(ConfigError, match=r"`label_mode`[\s\S]*'fine', 'coarse'"):
        cifar100.load_data("medium")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_of_python_3_are_read_as_well(protocol):
    if protocol == 2:  # Python 3 writes bytes by way of a function call there
        with pytest.raises(DataError, match=r"asks for _codecs\.encode"):
            load_arrays(pickle.dumps({b"data": b"x"}, 2), "old")
        return
    array = pixels(2)
    made = load_arrays(pickle.dumps({"data": array.copy(order="F")}, min(protocol, 4)), "batch")
    np.testing.assert_array_equal(made["data"], array, strict=True)


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch owned",), "system"),
        (eval, ("open('owned', 'w')",), "eval"),
        (np.load, ("owned",), "load"),
        (getattr, ((), "count"), "getattr"),
    ],
)
def test_a_hostile_pickle_is_refused(function, arguments, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = pickle.dumps({b"data": Hostile(function, *arguments)}, 4)
    with pytest.raises(DataError, match=rf"batch 1 is not a pickled dict[\s\S]*asks for .*{name}"):
        load_arrays(contents, "batch 1")
    assert list(tmp_path.glob("owned")) == []


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\x80\x02",
        pickle.dumps([1, 2]),
        pickle.dumps({"data": np.zeros(3)}, 4),
        python2_pickle({b"data": pixels(1)})[:-200],
    ],
)
def test_damaged_pickles(contents):
    with pytest.raises(DataError, match="was not read"):
        load_arrays(contents, "batch")


def test_a_size_that_is_a_lie_takes_no_memory():
    contents = python2_pickle({b"data": pixels(1)})
    huge = contents.replace(b"M\x00\x0c", b"\x8a\x06\0\0\0\0\0\x01")  # 3072 becomes 2**40
    with pytest.raises(DataError, match=rf"shape \(1, {2**40}\)"):
        load_arrays(huge, "batch")


def test_archives_that_are_not_cifar(server, monkeypatch, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(tar_gz(cifar10_members())[:-3000])
    with pytest.raises(DataError, match="The archive"):
        read_members(tmp_path / "a.tar.gz", ["cifar-10-batches-py/data_batch_1"])
    members = cifar10_members()
    del members["cifar-10-batches-py/data_batch_4"]
    monkeypatch.setattr(cifar10, "FILE", server.offer("b.tar.gz", tar_gz(members)))
    with pytest.raises(DataError, match=r"has no cifar-10-batches-py/data_batch_4"):
        cifar10.load_data()
    members = cifar10_members()
    members["cifar-10-batches-py/test_batch"] = python2_pickle({b"data": pixels(2), b"labels": [1]})
    monkeypatch.setattr(cifar10, "FILE", server.offer("c.tar.gz", tar_gz(members)))
    with pytest.raises(DataError, match=r"test_batch is not a CIFAR batch[\s\S]*'labels'"):
        cifar10.load_data()


# The pinned files


def test_pinned_hashes_are_those_that_keras_pins():
    for ours, theirs in (
        (mnist, keras.src.datasets.mnist),
        (cifar10, keras.src.datasets.cifar10),
        (cifar100, keras.src.datasets.cifar100),
    ):
        source = inspect.getsource(theirs)
        assert ours.FILE.sha256 in source
        assert ours.FILE.url.rpartition("/")[2] in source
    source = inspect.getsource(keras.src.datasets.fashion_mnist)
    for file in fashion_mnist.FILES.values():
        assert file.name.rpartition("/")[2] in source
        assert len(bytes.fromhex(file.sha256)) == 32


def test_an_own_copy_of_a_file_is_found_by_its_full_path(server, monkeypatch, tmp_path):
    file = io.BytesIO()
    np.savez(file, x_train=[1], y_train=[2], x_test=[3], y_test=[4])
    monkeypatch.setattr(mnist, "FILE", server.offer("m.npz", file.getvalue()))
    (tmp_path / "mine.npz").write_bytes(file.getvalue())
    (x, _), _ = mnist.load_data(str(tmp_path / "mine.npz"))
    assert x.tolist() == [1]
    assert server.requests == []
