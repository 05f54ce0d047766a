"""`model.forecast`: on devices of this process, in a process of its own, and bad input."""

from __future__ import annotations

import importlib.util
import os
import pickle
from typing import Any

import forecast_models as m
import jax
import numpy as np
import pytest

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L
from kgraph.distribution.chips import CHIPS, find_slice
from kgraph.errors import ConfigError, StateError
from kgraph.forecast import compiling, load_executable, making
from kgraph.layers.base.platform import lowering_for, platform

HERE = dist.DeviceMesh((8,), ("fsdp",))


@pytest.fixture(scope="module")
def fsdp():
    """The forecast of a step on the eight virtual devices of this process."""
    model = m.compiled(m.blocks(), stack=False)
    return model, model.forecast(HERE, 64, distribution=dist.FSDP(HERE, least_size=1000))


def test_a_forecast_allocates_nothing_and_changes_nothing(fsdp):
    model, found = fsdp
    assert not any(weight.has_value for weight in model.weights)
    assert found.options.mesh == {"fsdp": 8}
    assert found.options.layout == "FSDP"
    model.fit(np.zeros((8, m.WIDTH), "float32"), np.zeros(8, int), verbose=0)  # on one device
    assert model.weights[0].value.sharding.num_devices == 1


def test_bytes_and_work_are_those_of_one_device(fsdp):
    model, found = fsdp
    plan = dist.FSDP(HERE, least_size=1000).plan(model)
    batch, state = 8 * (m.WIDTH + 1) * 4, 3 * plan.bytes_per_device  # Adam keeps two more of each
    need = found.bytes_per_chip
    assert state + batch <= need.arguments < state + 2 * batch
    assert found.fits
    assert found.donated
    assert need.limit is None
    products = 3 * 2 * 64 * (4 * m.WIDTH * 2 * m.WIDTH + m.WIDTH * m.CLASSES)
    first = 2 * 64 * m.WIDTH * 2 * m.WIDTH  # the input needs no gradient
    assert found.flops == (products - first) // 8
    assert found.options.model_flops == model.cost(64).total.flops
    assert {one.kind for one in found.collectives} == {"all-gather", "all-reduce"}
    assert {one.axes for one in found.collectives} == {("fsdp",)}
    assert found.step_seconds is None  # a CPU's compiler estimates no cycles
    assert "FSDP" in str(found)
    assert "all-gather along fsdp" in str(found)


def test_predictions_are_forecast_without_compile():
    found = m.blocks().forecast(dist.DeviceMesh((1,), ("batch",), ["cpu:0"]), 16, what="predict")
    assert found.options.layout == "DataParallel"
    assert found.flops == 2 * 16 * (4 * m.WIDTH * 2 * m.WIDTH + m.WIDTH * m.CLASSES)
    assert found.flops <= found.options.model_flops


@pytest.mark.slow
def test_a_saved_executable_does_what_the_model_does(tmp_path):
    spread = dist.FSDP(HERE, least_size=1000)
    model = m.compiled(m.blocks(), distribution=spread)
    model.forecast("cpu:8", 16, what="predict").save_executable(tmp_path / "predict.bin")
    run = load_executable(tmp_path / "predict.bin")
    x = np.random.default_rng(0).normal(size=(16, m.WIDTH)).astype("float32")
    expected = model.predict(x, batch_size=16, verbose=0)
    program = kgraph.lower(model, inference=True)
    variables = program.weights.layout.nest(
        {id(p.weight): p.weight.value for p in program.weights.places}
    )
    (outputs,) = run(variables, [jax.device_put(x, spread.batch_sharding)])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_job_begins_with_a_saved_step_and_does_not_compile_it(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(48, m.WIDTH)).astype("float32"), np.arange(48) % m.CLASSES

    def trained(path: Any, size: int = 16) -> Any:
        kgraph.utils.set_random_seed(3)
        model = m.compiled(m.blocks(), distribution=dist.FSDP(HERE, least_size=1000))
        if path is not None:
            model.use_executable(path)
        batches = [(x[n : n + size], y[n : n + size]) for n in range(0, 48, size)]
        model.fit(iter(batches), verbose=0)
        return model

    usual = trained(None)
    usual.forecast("cpu:8", 16).save_executable(tmp_path / "step.bin")
    model = trained(tmp_path / "step.bin")
    reasons = {one.function: one.reason for one in model.compile_report()}
    assert reasons["train (one batch)"] == "read from a file"
    for ours, expected in zip(model.get_weights(), usual.get_weights()):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    with pytest.warns(UserWarning, match="for arguments of other shapes"):
        trained(tmp_path / "step.bin", 24)
    loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(model.optimizer, loss, distribution=dist.FSDP(HERE, least_size=1000))
    model.fit(iter([(x[:16], y[:16])]), verbose=0)
    report = model.compile_report()
    reasons = [one.reason for one in report if one.function == "train (one batch)"]
    assert [reason == "read from a file" for reason in reasons] == [True, False]
    with pytest.raises(StateError, match="no step of"):
        model.use_executable(tmp_path / "step.bin")
    other = kgraph.Sequential([kgraph.Input((m.WIDTH,)), L.Dense(m.CLASSES)])
    with pytest.raises(StateError, match="no step of"):
        m.compiled(other, distribution=dist.FSDP(HERE)).use_executable(tmp_path / "step.bin")
    eager = m.blocks()
    eager.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(StateError, match="runs eagerly"):
        eager.use_executable(tmp_path / "step.bin")
    with pytest.raises(StateError, match="must be compiled before use_executable"):
        m.blocks().use_executable(tmp_path / "step.bin")


def test_a_table_compares_forecasts(fsdp):
    _, found = fsdp
    table = found.compare([found])
    assert str(table).count("FSDP") == 2
    assert str(table).splitlines()[1].split()[:4] == ["topology", "batch", "layout", "remat"]


@pytest.mark.slow
def test_a_process_of_its_own_compiles_for_devices_that_are_not_here():
    before = dict(os.environ)

    class Doubling(L.Layer):  # is known in this process alone
        def call(self, inputs):
            return 2 * inputs

    x = kgraph.Input((m.WIDTH,))
    model = kgraph.Model(x, L.Dense(8)(Doubling()(x)))
    model.compile("sgd", lambda y_true, y_pred: ((y_true - y_pred) ** 2).mean(-1))
    found = model.forecast("cpu:16", 32)
    assert found.where.devices == 16
    assert found.options.mesh == {"batch": 16}
    assert {one.kind for one in found.collectives} == {"all-reduce"}
    assert dict(os.environ) == before
    assert jax.device_count() == 8


def test_programs_are_lowered_for_the_platform_of_the_forecast():
    assert platform() == "cpu"
    with lowering_for("tpu"):
        assert platform() == "tpu"
    assert platform() == "cpu"


# --- bad input -----------------------------------------------------------------------------------


def test_an_unknown_topology_is_answered_with_the_known_ones():
    model = m.compiled(m.blocks())
    with pytest.raises(ConfigError, match=r"no topology 'v9:2x2'[\s\S]*v5e:2x4.*cpu:8"):
        model.forecast("v9:2x2")
    with pytest.raises(ConfigError, match=r"no topology 'v5p:2x2'[\s\S]*v5p:2x2x1"):
        model.forecast("v5p:2x2")
    wrong: Any = 8
    with pytest.raises(ConfigError, match='a name such as "v5e:2x4"'):
        model.forecast(wrong)


def test_without_libtpu_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the TPU's compiler[\s\S]*kgraph-jax\[tpu\]"):
        m.compiled(m.blocks()).forecast("v5e:2x4", 64)


def test_a_libtpu_that_jax_does_not_take_is_none(monkeypatch):
    message = "RuntimeError: JAX TPU support not installed; cannot generate TPU topology."
    found = {"error": "topology", "message": message, "seconds": 0}
    monkeypatch.setattr(compiling, "require_compiler", lambda where: None)
    monkeypatch.setattr(making, "require_compiler", lambda where: None)
    monkeypatch.setattr(compiling, "_run", lambda folder, where: found)
    with pytest.raises(ConfigError, match=r"needs the TPU's compiler[\s\S]*kgraph-jax\[tpu\]"):
        m.compiled(m.blocks()).forecast("v5e:2x4", 64)


def test_what_cannot_be_forecast_is_refused_at_once():
    model = m.compiled(m.blocks())
    with pytest.raises(ConfigError, match=r"batch of 12 rows[\s\S]*divisible by 8[\s\S]*=16"):
        model.forecast("cpu:8", 12)
    with pytest.raises(ConfigError, match="divisible by 8"):
        model.forecast("cpu:8", 0)
    with pytest.raises(StateError, match="must be compiled before forecast"):
        m.blocks().forecast("cpu:8", 16)
    with pytest.raises(ConfigError, match="'predict'"):
        model.forecast("cpu:8", 16, what="evaluate")
    flag: Any = "xla_dump_to"
    with pytest.raises(ConfigError, match="names with values"):
        model.forecast("cpu:8", 16, compiler_options=flag)
    two = dist.FSDP(dist.DeviceMesh((2, 4), ("data", "fsdp")))
    with pytest.raises(ConfigError, match=r"not have 16 devices[\s\S]*list_devices\(topology\)"):
        model.forecast("cpu:16", 16, distribution=two)


def test_a_file_of_something_else_is_no_executable(tmp_path):
    for n, data in enumerate([b"", b"hello", pickle.dumps(3), pickle.dumps(("step", b"hello"))]):
        (tmp_path / f"{n}.bin").write_bytes(data)
        with pytest.raises(StateError, match=rf"{n}\.bin' is no executable"):
            load_executable(tmp_path / f"{n}.bin")


def test_a_size_that_is_unknown_has_to_be_given():
    x = kgraph.Input(("time", 4))
    model = kgraph.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(x)))
    model.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="time"):
        model.forecast("cpu:8", 16)


def test_a_layer_that_needs_its_host_is_refused():
    class Printing(L.Layer):
        def call(self, inputs):
            jax.debug.print("{}", inputs.sum())
            return inputs

    x = kgraph.Input((4,))
    model = kgraph.Model(x, L.Dense(2)(Printing()(x)))
    model.compile("sgd", "mse")
    with pytest.raises(StateError, match=r"calls back into Python[\s\S]*jax.debug.print"):
        model.forecast("cpu:8", 16)


def test_what_the_compiler_says_is_understood():
    messages = {
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (384.00G) exceeds available HBM (15.75G)": 384 << 30,
        "XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 21.50M of "
        "15.75G hbm. Exceeded hbm capacity by 5.75G.": int(21.5 * (1 << 20)),
    }
    for message, needed in messages.items():
        assert compiling.is_out_of_memory(message)
        assert compiling._needed(message) == needed
    assert not compiling.is_out_of_memory("RESOURCE_EXHAUSTED: Ran out of memory in vmem")


def test_slices_are_known_by_name():
    where = find_slice("v5e:2x4")
    assert (where.devices, where.host, where.platform) == (8, (2, 4, 1), "tpu")
    assert where.larger is not None
    assert where.larger.name == "v5e:4x4"
    assert find_slice("v5e:16x16").host is None
    assert find_slice("v5e:16x16").larger is None
    assert find_slice("v4:2x2x1").devices == 8
    assert CHIPS["v5e"].clock == pytest.approx(1.5e9, rel=0.01)
    assert dist.list_devices("v5e:2x4")[-1] == "tpu:7"
