"""What README's table says of Keras, Flax NNX and Equinox, as functions that try it.

Equinox is no part of the test extra: where it is not installed, its cells are left out.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from counting import compilations
from flax import nnx


def equinox():
    return pytest.importorskip("equinox")


def message(call, *arguments) -> str:
    """What an error of `call(*arguments)` says."""
    try:
        call(*arguments)
    except Exception as error:
        return str(error)
    pytest.fail("no error")


def chain(depth: int) -> keras.Model:
    inputs = keras.Input((8,))
    h = inputs
    for _ in range(depth):
        h = keras.layers.Dense(8)(h)
    return keras.Model(inputs, h)


def text_of(model, x) -> str:
    return str(jax.make_jaxpr(lambda x: model(x, training=False))(x))


def keras_names_the_layer_that_a_shape_does_not_fit():
    dense = keras.layers.Dense(2, name="narrow")
    dense(keras.Input((3,)))
    told = message(dense, keras.Input((5,)))
    assert "narrow" in told
    assert Path(__file__).name not in told


def nnx_names_no_line_of_a_wrong_shape():
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    assert Path(__file__).name not in message(layer, jnp.ones((2, 5)))


def equinox_names_no_line_of_a_wrong_shape():
    layer = equinox().nn.Linear(2, 3, key=jax.random.key(0))
    assert Path(__file__).name not in message(layer, jnp.ones(5))


def keras_says_none_for_what_is_unknown():
    assert keras.Input((None, 64)).shape == (None, None, 64)
    assert (keras.Input((None, 4))[:, 2:] + keras.Input((None, 4))).shape[1] is None


def nnx_has_no_graph_of_symbols():
    assert not hasattr(nnx, "Input")


def equinox_has_no_graph_of_symbols():
    assert not hasattr(equinox(), "Input")


def keras_compares_models_by_identity():
    assert chain(1) != chain(1)


def nnx_compares_graphdefs():
    one, two = (nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))[0] for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.out_features = 4  # a module itself can be changed


def equinox_cannot_hash_a_model_with_arrays():
    layer = equinox().nn.Linear(2, 3, key=jax.random.key(0))
    assert "unhashable" in message(hash, layer)


def keras_takes_lists_of_variables():
    model = chain(1)
    outputs, state = model.stateless_call(
        [v.value for v in model.trainable_variables], [], jnp.ones((2, 8))
    )
    assert (outputs.shape, state) == ((2, 8), [])


def nnx_is_a_function_of_a_tree_after_split():
    graph, state = nnx.split(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    assert nnx.merge(graph, state)(jnp.ones((4, 2))).shape == (4, 3)


def equinox_is_the_tree():
    layer = equinox().nn.Linear(2, 3, key=jax.random.key(0))
    assert len(jax.tree.leaves(layer)) == 2


def keras_compiles_to_make_weights():
    assert compilations(lambda: keras.layers.Dense(61).build((None, 67)))


def nnx_compiles_to_make_weights():
    assert compilations(lambda: nnx.Linear(61, 67, rngs=nnx.Rngs(0)))


def equinox_compiles_to_make_weights():
    library = equinox()
    assert compilations(lambda: library.nn.Linear(61, 67, key=jax.random.key(0)))


def keras_counts_names_in_the_process():
    first, second = chain(1), chain(1)
    assert first.layers[1].name != second.layers[1].name


def nnx_names_weights_by_attributes():
    state = nnx.state(nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0))))
    assert [path[-1] for path, _ in nnx.to_flat_state(state)] == ["bias", "kernel"]


def equinox_names_weights_by_attributes():
    layer = equinox().nn.Linear(2, 3, key=jax.random.key(0))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(layer)]
    assert paths == [".weight", ".bias"]


def keras_draws_in_the_order_of_construction():
    def last_of(depth):
        keras.utils.set_random_seed(0)
        return chain(depth).layers[-1].get_weights()[0]

    assert not np.array_equal(last_of(1), last_of(2))


def nnx_draws_in_the_order_of_construction():
    def last_of(depth):
        rngs = nnx.Rngs(0)
        return [nnx.Linear(8, 8, rngs=rngs) for _ in range(depth)][-1].kernel[...]

    assert not np.array_equal(last_of(1), last_of(2))


def equinox_takes_keys():
    assert inspect.signature(equinox().nn.Linear).parameters["key"].kind.name == "KEYWORD_ONLY"


def keras_refuses_optax():
    assert "optimizer" in message(lambda: chain(1).compile(optax.sgd(0.1), "mse"))


def nnx_has_no_fit():
    assert not hasattr(nnx.Module, "fit")


def equinox_has_no_fit():
    assert not hasattr(equinox().Module, "fit")


def keras_runs_one_step_a_dispatch_unless_told():
    assert inspect.signature(keras.Model.compile).parameters["steps_per_execution"].default == 1


def keras_backs_up_at_epochs():
    options = inspect.signature(keras.callbacks.BackupAndRestore).parameters
    assert options["save_freq"].default == "epoch"


def keras_program_grows_with_depth():
    x = jnp.ones((2, 8))
    assert len(text_of(chain(8), x)) > 3 * len(text_of(chain(2), x))


def nnx_scans_by_hand():
    assert callable(nnx.scan)


def equinox_scans_by_hand():
    assert not hasattr(equinox(), "scan")  # jax.lax.scan is


def keras_has_the_logits():
    model = chain(0)
    model = keras.Model(model.inputs, keras.layers.Dense(1013)(model.outputs[0]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(x, y):
        return loss(y, model(x))

    text = str(jax.make_jaxpr(jax.value_and_grad(step))(jnp.ones((4096, 8)), jnp.ones(4096)))
    assert "f32[4096,1013]" in text


def logits_of_a_layer_called_by_hand_exist():
    """NNX and Equinox: the user writes the loss, and calls the layer before it."""
    layer = nnx.Linear(8, 1013, rngs=nnx.Rngs(0))
    text = str(jax.make_jaxpr(layer)(jnp.ones((4096, 8))))
    assert "f32[4096,1013]" in text


def keras_normalizes_when_it_predicts():
    inputs = keras.Input((8,))
    model = keras.Model(
        inputs, keras.layers.BatchNormalization()(keras.layers.Dense(8, name="before")(inputs))
    )
    assert "rsqrt" in text_of(model, jnp.ones((2, 8)))


def nnx_normalizes_when_it_predicts():
    norm = nnx.BatchNorm(8, use_running_average=True, rngs=nnx.Rngs(0))
    assert "rsqrt" in str(jax.make_jaxpr(norm)(jnp.ones((2, 8))))


def keras_reports_no_compilations():
    assert not hasattr(keras.Model, "compile_report")


def keras_stops_at_nan():
    model = chain(1)
    model.compile("sgd", "mse")
    stop = keras.callbacks.TerminateOnNaN()
    x = np.full((4, 8), np.nan)
    assert len(model.fit(x, x, epochs=3, callbacks=[stop], verbose=0).epoch) == 1
    assert "check_finite" not in inspect.signature(model.fit).parameters


def keras_interrupted_in_a_step_has_deleted_buffers():
    model = chain(1)
    model.compile("sgd", "mse")
    model.make_train_function()
    step = model.train_function

    def struck(*arguments):
        step(*arguments)
        raise KeyboardInterrupt  # before the loop has taken what the step gave back

    model.train_function = struck
    with pytest.raises(KeyboardInterrupt):
        model.fit(np.ones((32, 8)), np.ones((32, 8)), verbose=0)
    message(model.get_weights)


def keras_takes_labels_and_ids_out_of_range():
    y = np.array([7])
    loss = keras.losses.SparseCategoricalCrossentropy()(y, np.full((1, 3), 1 / 3, "float32"))
    assert float(loss) == 0
    assert np.isnan(keras.layers.Embedding(3, 2)(np.array([9]))).all()


def nnx_takes_ids_out_of_range():
    embedded = nnx.Embed(3, 2, rngs=nnx.Rngs(0))(jnp.array([9]))
    assert embedded.shape == (1, 2)


def equinox_takes_ids_out_of_range():
    embedded = equinox().nn.Embedding(3, 2, key=jax.random.key(0))(jnp.array(9))
    assert embedded.shape == (2,)


class Held(keras.Layer):
    def __init__(self, width, function=None):
        super().__init__()
        self.width, self.function = width, function


def keras_records_simple_arguments():
    assert Held(3).get_config()["width"] == 3
    assert "get_config" in message(Held(3, print).get_config)


def keras_needs_graphviz():
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("PATH", "/nowhere")
        assert "graphviz" in message(keras.utils.plot_model, chain(1), "m.png")


def nnx_has_no_configs():
    assert not hasattr(nnx.Module, "get_config")


def equinox_has_no_configs():
    assert not hasattr(equinox().Module, "get_config")


def nnx_draws_no_graph():
    assert not hasattr(nnx, "plot_model")


def equinox_draws_no_graph():
    assert not hasattr(equinox(), "plot_model")
