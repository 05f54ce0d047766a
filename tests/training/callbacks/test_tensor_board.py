"""TensorBoard's event files, read back by a reader of the tests' own."""

from __future__ import annotations

import struct

import jax.numpy as jnp
import numpy as np
import pytest
from event_reader import events, fields, records, scalars

import kgraph
from kgraph.callbacks import TensorBoard
from kgraph.errors import ConfigError
from kgraph.training.callbacks.event_file import EventFile, histogram, scalar, text


def train(callback, optimizer="sgd", epochs=2, **options):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1, name="head")(inputs))
    model.compile(optimizer, "mse", metrics=["mae"])
    history = model.fit(
        x, x[:, :1], batch_size=5, epochs=epochs, verbose=0, callbacks=[callback], **options
    )
    return model, history.history


def test_epochs_weights_and_the_table_are_written(tmp_path):
    callback = TensorBoard(tmp_path, histogram_freq=1, write_steps_per_second=True)
    assert not callback.wants_batches("train")
    model, history = train(callback, validation_split=0.2)
    for key, values in history.items():
        folder = "validation" if key.startswith("val_") else "train"
        found = scalars(tmp_path / folder, f"epoch_{key.removeprefix('val_')}")
        assert [step for step, _ in found] == [0, 1]
        np.testing.assert_allclose([value for _, value in found], values, rtol=1e-6)
    assert scalars(tmp_path / "train", "epoch_learning_rate") == [
        (0, pytest.approx(0.01)), (1, pytest.approx(0.01)),
    ]  # fmt: skip
    assert all(rate > 0 for _, rate in scalars(tmp_path / "train", "epoch_steps_per_second"))
    (_, table), *_, (_, last) = events(tmp_path / "train")
    assert b"head (Dense)" in table["model"][8][0]
    bars = fields(last["head/kernel/histogram"][5][0])
    kernel = model.get_weights()[0]
    assert bars[3] == [3.0]
    np.testing.assert_allclose([bars[1][0], bars[2][0]], [kernel.min(), kernel.max()])
    assert sum(struct.unpack("<30d", bars[7][0])) == 3
    assert not any(tag.startswith("batch_") for _, values in events(tmp_path / "train")
                   for tag in values)  # fmt: skip


def test_batches_are_written_at_their_number_over_all_epochs(tmp_path):
    train(TensorBoard(tmp_path, update_freq=3, write_graph=False))
    steps = [step for step, _ in scalars(tmp_path / "train", "batch_loss")]
    assert steps == [3, 6]
    assert TensorBoard(tmp_path, update_freq="batch").update_freq == 1
    train(TensorBoard(tmp_path / "b", update_freq="batch"), epochs=1)
    assert [step for step, _ in scalars(tmp_path / "b" / "train", "batch_mae")] == [1, 2, 3, 4]


def test_rates_of_schedules_and_of_several_optimizers_are_written(tmp_path):
    o = kgraph.optimizers
    schedule = o.schedules.ExponentialDecay(0.1, 4, 0.5)
    train(TensorBoard(tmp_path / "a"), o.SGD(schedule))
    assert scalars(tmp_path / "a" / "train", "epoch_learning_rate") == [
        (0, pytest.approx(0.05)), (1, pytest.approx(0.025)),
    ]  # fmt: skip
    several = o.MultiOptimizer(o.OptimizerMap(o.SGD(0.5), {"head/bias": o.SGD(schedule)}))
    train(TensorBoard(tmp_path / "b"), several, epochs=1)
    ((_, found),) = scalars(tmp_path / "b" / "train", "epoch_learning_rate_sgd")
    assert found == pytest.approx(0.05)
    ((_, found),) = scalars(tmp_path / "b" / "train", "epoch_learning_rate_sgd_1")
    assert found == 0.5


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"write_images": True}, r"no write_images here[\s\S]*histogram_freq=1"),
        ({"embeddings_freq": 1}, r"no embeddings_freq here"),
        ({"embeddings_metadata": "m.tsv"}, r"no embeddings_metadata here"),
        ({"update_freq": "epochs"}, r"does not know this update_freq[\s\S]*'epoch' or 'batch'"),
        ({"update_freq": 0}, r"does not know this update_freq"),
        ({"histogram_freq": -1}, r"cannot have this value of `histogram_freq`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_mean_nothing_here_are_refused(options, what):
    with pytest.raises(ConfigError, match=what):
        TensorBoard(**options)


VALUES = [
    scalar("numbers", 1.5),
    scalar("overflow", 1e300),
    histogram("weights", np.array([1.0, 2.0, 2.0, np.nan, np.inf])),
    histogram("nothing", jnp.zeros((0, 2), jnp.bfloat16)),
    text("words", "ünd\n" * 40),
]


def test_numbers_that_are_not_finite_do_not_stop_a_histogram(tmp_path):
    EventFile(tmp_path).write(2**33, VALUES)
    ((step, found),) = events(tmp_path)
    assert step == 2**33
    assert found["overflow"][2] == [float("inf")]
    bars = fields(found["weights"][5][0])
    assert [bars[n] for n in (1, 2, 3, 4, 5)] == [[1.0], [2.0], [3.0], [5.0], [9.0]]
    assert fields(found["nothing"][5][0])[3] == [0.0]


def test_googles_messages_read_the_same(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    file = EventFile(tmp_path)
    file.write(7, VALUES)
    first, event = (event_pb2.Event.FromString(record) for record in records(file.path))
    assert first.file_version == "brain.Event:2"
    number, _, weights, _, words = event.summary.value
    assert (event.step, number.tag, number.simple_value) == (7, "numbers", 1.5)
    assert (weights.histo.num, weights.histo.sum_squares) == (3.0, 9.0)
    assert (len(weights.histo.bucket), weights.histo.bucket_limit[-1]) == (30, 2.0)
    assert words.metadata.plugin_data.plugin_name == "text"
    assert words.tensor.string_val[0].decode() == "ünd\n" * 40
    assert (words.tensor.dtype, words.tensor.tensor_shape.dim[0].size) == (7, 1)
