"""Files of Keras' are read one array after the other, each to where it lies.

What that takes of memory is measured in `distribution/test_memory_at_start.py`.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import kgraph
from kgraph.distribution import FSDP
from kgraph.errors import ModelFileError
from kgraph.saving.files.window import Window
from kgraph.saving.keras_format.weights_file import open_arrays


def trained() -> Any:
    x = kgraph.Input((16,), name="x")
    model = kgraph.Model(x, kgraph.layers.Dense(8, name="d")(x))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((16, 16), "float32"), np.ones((16, 8), "float32"))
    return model


def test_weights_and_moments_lie_as_the_distribution_in_force_says(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "m.keras")
    with FSDP(least_size=1).scope():
        loaded = kgraph.models.load_model(tmp_path / "m.keras")
    state, expected = loaded._kgraph.trainer.state(), model._kgraph.trainer.state()
    moments = jax.tree.leaves(state["optimizer"])
    for array in [loaded.weights[0].value, *(a for a in moments if a.ndim == 2)]:
        assert {shard.data.shape for shard in array.addressable_shards} == {(2, 8)}
    jax.tree.map(np.testing.assert_array_equal, state["optimizer"], expected["optimizer"])
    np.testing.assert_array_equal(loaded.weights[0], model.weights[0])
    spread = jax.sharding.NamedSharding(
        jax.sharding.Mesh(np.array(jax.devices()[:2]), ("rows",)),
        jax.sharding.PartitionSpec("rows"),
    )
    where = {(16, 8): spread}
    loaded = kgraph.models.load_model(
        tmp_path / "m.keras", shardings=lambda path, shape: where.get(shape)
    )
    assert loaded.weights[0].value.sharding == spread


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(name: str, tmp_path: Path) -> None:
    """HDF5 does not notice it: the bytes of an array would be what memory held before."""
    model = kgraph.Sequential([kgraph.Input((300,)), kgraph.layers.Dense(300)])
    (model.save if name == "m.keras" else model.save_weights)(tmp_path / name)
    with open_arrays(tmp_path / name) as file:
        os.truncate(tmp_path / name, 50_000)
        with pytest.raises(ModelFileError, match=r"holds an array that cannot be read[\s\S]*early"):
            all(file.read(at).size for at in file.arrays)


def test_a_window_is_read_as_the_bytes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgraph.saving.files.window._BLOCK", 7)
    content = bytes(range(100)) + b"needle" + bytes(50) + b"needle"
    inside = content[5:-2]
    window = Window(io.BytesIO(content), 5, len(inside))
    assert window.read() == inside
    assert window.seek(-3, os.SEEK_END) == len(inside) - 3
    assert window.read(10) == inside[-3:]
    for start in range(0, 110, 3):
        for stop in (start, start + 1, start + 20, 1000):
            assert window.part(start, stop) == inside[start:stop], (start, stop)
        for wanted in (b"needle", b"needl", b"\0", b"no such bytes"):
            assert window.find(wanted, start) == inside.find(wanted, start), (wanted, start)


def test_no_more_than_an_array_is_read_at_once(tmp_path: Path) -> None:
    """Nothing asks a file for all that it has: neither HDF5 nor what looks for texts."""
    trained().save_weights(tmp_path / "m.weights.h5")
    asked: list[int] = []
    real = Window.readinto

    def counted(self: Window, buffer: Any) -> int:
        asked.append(len(memoryview(buffer)))
        return real(self, buffer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Window, "readinto", counted)
        patch.setattr("kgraph.saving.files.window._BLOCK", 4096)
        trained().load_weights(tmp_path / "m.weights.h5")
    assert max(asked) <= 4096 < (tmp_path / "m.weights.h5").stat().st_size
