"""A loaded model is the saved one: graph, weights, outputs, sharing and structure."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from saved_models import IDS, MODELS, ROWS, Coded, assert_same_weights, dense, flat, litter, shared

import kgraph as keras
from kgraph import config, layers, saving
from kgraph.errors import ConfigError


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_is_the_saved_one(name, tmp_path):
    build, data = MODELS[name]
    model = build()
    expected = flat(model(data))
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert type(loaded) is type(model)
    assert loaded.name == model.name
    assert loaded.graph == model.graph
    assert_same_weights(model, loaded)
    for array, again in zip(expected, flat(loaded(data)), strict=True):
        np.testing.assert_array_equal(array, again)
    assert litter(tmp_path) == []


def test_a_name_without_suffix_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = dense()
    model.save("path_to_my_model")
    assert (tmp_path / "path_to_my_model").is_file()
    del model
    assert keras.models.load_model("path_to_my_model").name == "plain"


def test_a_shared_layer_stays_shared(tmp_path):
    model = shared()
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert len(loaded.weights) == 1
    before = np.asarray(loaded([IDS, IDS]))
    loaded.weights[0].assign(loaded.weights[0].numpy() + 1)
    np.testing.assert_allclose(np.asarray(loaded([IDS, IDS])), before + 1, rtol=1e-6)


def test_a_frozen_layer_stays_frozen(tmp_path):
    model = dense()
    model.layers[1].trainable = False
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    trained = [weight.shape for weight in loaded.trainable_weights]
    assert trained == [weight.shape for weight in model.trainable_weights] == [(3, 2), (2,)]


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_model_defined_by_code_gets_its_weights_back(tmp_path):
    model = Coded(3)
    data = {"left": ROWS, "right": -ROWS}
    expected = model.predict(data, verbose=0)
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph", custom_objects={"Coded": Coded})
    assert isinstance(loaded, Coded)
    assert_same_weights(model, loaded)
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), expected)


def test_a_model_defined_by_code_that_saw_no_data_says_what_to_do(tmp_path):
    model = Coded(3)
    model({"left": keras.Input((4,)), "right": keras.Input((4,))})
    with pytest.raises(ConfigError, match=r"cannot be saved[\s\S]*called on data once"):
        model.save(tmp_path / "m.kgraph")
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_and_state_of_other_dtypes_come_back_bit_for_bit(tmp_path):
    x = keras.Input((4,), dtype="bfloat16")
    model = keras.Model(x, layers.Dense(3, dtype="bfloat16")(x))
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.weights[0].value.dtype == "bfloat16"
    assert_same_weights(model, loaded)


def test_an_empty_weight_is_kept(tmp_path):
    x = keras.Input((0,))
    model = keras.Model(x, layers.Dense(2)(x))
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert loaded.get_weights()[0].shape == (0, 2)


def test_no_initializer_runs_on_load(tmp_path, monkeypatch):
    dense().save(tmp_path / "m.kgraph")
    monkeypatch.setattr(
        "kgraph.layers.base.variable.initializers.create",
        lambda *_: pytest.fail("an initializer ran"),
    )
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert all(weight.has_value for weight in loaded.weights)


def test_neither_saving_nor_loading_draws_random_numbers(tmp_path):
    model = MODELS["sequential"][0]()
    model.get_weights()
    _, first = config.next_seed()
    model.save(tmp_path / "m.kgraph")
    saving.load_model(tmp_path / "m.kgraph").get_weights()
    assert config.next_seed()[1] == first + 1


def test_saving_twice_gives_the_same_description(tmp_path):
    model = dense()
    model.save(tmp_path / "a.kgraph")
    saving.load_model(tmp_path / "a.kgraph").save(tmp_path / "b.kgraph")
    parts = []
    for name in ("a.kgraph", "b.kgraph"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            parts.append(archive.read("model.json"))
    assert parts[0] == parts[1]


def test_a_file_says_which_version_wrote_it(tmp_path):
    dense().save(tmp_path / "m.kgraph")
    with zipfile.ZipFile(tmp_path / "m.kgraph") as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["format_version"] == 2
    assert manifest["kgraph_version"] == keras.__version__
    assert manifest["key_version"] == keras.initializers.KEY_VERSION


def test_a_file_does_not_tell_where_it_was_written(tmp_path):
    dense().save(tmp_path / "m.kgraph")
    assert str(tmp_path).encode() not in (tmp_path / "m.kgraph").read_bytes()


def test_a_fresh_process_needs_no_code(tmp_path):
    model = MODELS["nested"][0]()
    expected = np.asarray(model(ROWS))
    model.save(tmp_path / "m.kgraph")
    np.save(tmp_path / "rows.npy", ROWS)
    code = (
        "import sys, numpy, kgraph\n"
        "model = kgraph.models.load_model(sys.argv[1])\n"
        "numpy.save(sys.argv[3], numpy.asarray(model(numpy.load(sys.argv[2]))))\n"
    )
    paths = [tmp_path / name for name in ("m.kgraph", "rows.npy", "out.npy")]
    command = [sys.executable, "-W", "error", "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # The other process compiles with XLA's optimizer, this one (tests/conftest.py) without.
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-6, atol=1e-7)


def test_a_model_loads_in_a_program_that_has_used_nothing_else(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, layers.Dense(2)(inputs), name="alone").save(tmp_path / "m.kgraph")
    code = f"from kgraph import saving; print(saving.load_model({str(tmp_path / 'm.kgraph')!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "<Model name='alone'>\n", done.stderr[-2000:]
