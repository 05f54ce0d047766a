"""What users get wrong: each program, and what its error has to say."""

from typing import NamedTuple


class Misuse(NamedTuple):
    """A program, after `HEAD`; the class and the first words of its error; its other lines."""

    program: str
    error: str
    what: str
    facts: str = ""
    lines: int = 8  # at most, of the whole traceback


HEAD = """
import numpy as np
import jax, jax.numpy as jnp
import kgraph as keras
from kgraph import layers, ops

x, y = np.zeros((8, 4), "float32"), np.zeros((8, 1), "float32")
inputs = keras.Input((4,))


def model_of(units=1, activation=None, loss="mse", **options):
    made = keras.Model(inputs, layers.Dense(units, activation=activation)(inputs))
    made.compile("sgd", loss, **options)
    return made


"""

MISUSES = {
    "a path as checkpoint": Misuse(
        'model_of().fit(x, y, checkpoint="gs://bucket/run", verbose=0)',
        "ConfigError",
        "fit needs a Checkpoint to save the training",
        "received try",
    ),
    "units as a text": Misuse(
        'layers.Dense("3")',
        "ConfigError",
        "Dense cannot have this value of `units`",
        "expected received",
    ),
    "no units": Misuse(
        "layers.Dense()",
        "CallError",
        "Dense: missing a required argument: 'units'",
        "at expected",
    ),
    "negative units": Misuse(
        "layers.Dense(-1)",
        "ConfigError",
        "Dense cannot have this value of `units`",
        "expected received",
    ),
    "unknown activation": Misuse(
        'layers.Dense(3, activation="rleu")',
        "ConfigError",
        "No activation is known as 'rleu'",
        "try",
    ),
    "unknown option": Misuse(
        "layers.Dense(3, use_bais=False)",
        "ConfigError",
        "Dense has no option 'use_bais'",
        "expected try",
    ),
    "unknown initializer": Misuse(
        'layers.Dense(3, kernel_initializer="glorot")',
        "ConfigError",
        "No initializer is known as 'glorot'",
        "try",
    ),
    "kernel too large": Misuse(
        "layers.Conv2D(3, 9)(keras.Input((4, 4, 1)))",
        "GraphError",
        "'conv2d' (Conv2D) would have an empty output: its input is s",
        "at made expected received try",
        lines=9,
    ),
    "wrong rank": Misuse(
        "layers.Conv2D(3, 3)(keras.Input((4, 4)))",
        "GraphError",
        "'conv2d' (Conv2D) cannot take an input with 3 axes",
        "at made expected received try",
        lines=9,
    ),
    "unknown features": Misuse(
        "layers.Dense(3)(keras.Input((None,)))",
        "GraphError",
        "'dense' (Dense) needs known sizes for its weight 'kernel'",
        "at made received try",
    ),
    "other features": Misuse(
        """
dense = layers.Dense(3)
dense(inputs)
dense(keras.Input((5,)))
""",
        "GraphError",
        "'dense' (Dense) already has parameters for 4 features and ca",
        "at made expected received try",
        lines=9,
    ),
    "shapes that do not add": Misuse(
        "layers.Add()([inputs, keras.Input((5,))])",
        "GraphError",
        "'add' (Add) cannot bring its inputs together: sizes differ o",
        "at made expected received",
        lines=10,
    ),
    "an add of one": Misuse(
        "layers.Add()(inputs)",
        "GraphError",
        "'add' (Add) takes a list of tensors",
        "at made received try",
    ),
    "reshape to another size": Misuse(
        "layers.Reshape((3,))(inputs)",
        "GraphError",
        "'reshape' (Reshape) cannot keep the number of values",
        "at made expected received",
    ),
    "a rate above one": Misuse(
        "layers.Dropout(1.5)",
        "ConfigError",
        "Dropout cannot have this value of `rate`",
        "expected received",
    ),
    "a model of no tensors": Misuse(
        "keras.Model(3, 4)",
        "GraphError",
        "The inputs of a model are symbolic tensors",
        "expected received try",
    ),
    "an output that no input reaches": Misuse(
        "keras.Model(inputs, layers.Dense(1)(keras.Input((4,))))",
        "GraphError",
        "The outputs depend on the input 'input_layer', which is not",
        "at made expected received try",
        lines=9,
    ),
    "two layers of one name": Misuse(
        """
a = layers.Dense(4, name="a")(inputs)
keras.Model(inputs, layers.Dense(4, name="a")(a))
""",
        "GraphError",
        "Two layers of this model are named 'a'",
        "at expected try",
    ),
    "Sequential of two arguments": Misuse(
        "keras.Sequential(layers.Dense(3), layers.Dense(1))",
        "ConfigError",
        "Sequential takes its layers as one list",
        "received try",
    ),
    "Sequential of a number": Misuse(
        "keras.Sequential([3])",
        "ConfigError",
        "A Sequential model is made of layers",
        "received try",
    ),
    "a truth value of a symbol": Misuse(
        """
if inputs > 0:
    pass
""",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used in a cond",
        "made try",
    ),
    "a symbol as an array": Misuse(
        "np.asarray(inputs)",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used by a NumP",
        "made try",
    ),
    "jnp on a symbol": Misuse(
        "jnp.sum(inputs)",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used by a JAX",
        "made try",
        lines=12,
    ),
    "a loop over a symbol": Misuse(
        """
for row in inputs:
    pass
""",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used in a loop",
        "made try",
    ),
    "an array where a symbol belongs": Misuse(
        "keras.Model(x, layers.Dense(1)(inputs))",
        "GraphError",
        "The inputs of a model are symbolic tensors",
        "expected received try",
    ),
    "a size that is no size": Misuse(
        'keras.Input(("4",))',
        "GraphError",
        "Input has a size that is no usable name",
        "expected received",
    ),
    "a dtype that is none": Misuse(
        'keras.Input((4,), dtype="flaot32")',
        "ConfigError",
        "Input does not know this dtype",
        "expected received",
    ),
    "a branch on a tensor in call": Misuse(
        """
class Mine(layers.Layer):
    def call(self, inputs):
        if inputs[0, 0] > 0:
            return inputs
        return -inputs


Mine()(inputs)
""",
        "GraphError",
        "'mine' (Mine) failed in its call: Attempted boolean conversi",
        "at made inside received try",
        lines=13,
    ),
    "a bug in call": Misuse(
        """
class Mine(layers.Layer):
    def call(self, inputs):
        return inputs @ np.zeros((3, 3))


Mine()(inputs)
""",
        "GraphError",
        "'mine' (Mine) failed in its call: dot_general requires contr",
        "at made inside received",
        lines=11,
    ),
    "a bug in build": Misuse(
        """
class Mine(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(input_shape[7])


Mine()(inputs)
""",
        "GraphError",
        "'mine' (Mine) failed in its call: tuple index out of range",
        "at made inside received",
        lines=11,
    ),
    "no call": Misuse(
        """
class Mine(layers.Layer):
    pass


Mine()(inputs)
""",
        "ConfigError",
        "Mine has no call method",
        "at made try",
    ),
    "a call that returns nothing": Misuse(
        """
class Mine(layers.Layer):
    def call(self, inputs):
        pass


Mine()(inputs)
""",
        "GraphError",
        "'mine' (Mine) failed in its call: call of Mine must return a",
        "at made received",
    ),
    "NumPy in call": Misuse(
        """
class Mine(layers.Layer):
    def call(self, inputs):
        return np.tanh(inputs)


layers.Dense(2)(Mine()(inputs))
model_of().fit(np.asarray(inputs), y)
""",
        "GraphError",
        "'mine' (Mine) failed in its call: The numpy.ndarray conversi",
        "at made inside received try",
        lines=13,
    ),
    "a layer of Keras": Misuse(
        """
import keras as real
real.layers.Dense(3)(inputs)
""",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used by a laye",
        "made try",
        lines=20,
    ),
    "a tensor of Keras": Misuse(
        """
import keras as real
layers.Dense(3)(real.Input((4,)))
""",
        "SymbolError",
        "'dense' (Dense) was called on a symbolic tensor of Keras",
        "at expected received try",
    ),
    "a module of Flax NNX": Misuse(
        """
from flax import nnx
nnx.Linear(4, 3, rngs=nnx.Rngs(0))(inputs)
""",
        "SymbolError",
        "A symbolic tensor has no values and cannot be used by a modu",
        "made try",
        lines=27,
    ),
    "unknown loss": Misuse(
        'model_of(loss="mes")',
        "ConfigError",
        "No loss is known as 'mes'",
        "try",
    ),
    "unknown optimizer": Misuse(
        'keras.Model(inputs, inputs).compile("adma", "mse")',
        "ConfigError",
        "No optimizer is known as 'adma'",
        "try",
    ),
    "unknown metric": Misuse(
        'model_of(metrics=["acuracy"])',
        "ConfigError",
        "No metric is known as 'acuracy'",
        "try",
    ),
    "a loss for an output that is not there": Misuse(
        'model_of(loss={"head": "mse"})',
        "ConfigError",
        "The losses name an output that the model does not have: 'hea",
        "expected received try",
        lines=9,
    ),
    "compile of a wrong option": Misuse(
        'model_of(optimiser="sgd")',
        "CallError",
        "compile: got an unexpected keyword argument 'optimiser'",
        "at expected try",
        lines=9,
    ),
    "fit before compile": Misuse(
        "keras.Model(inputs, layers.Dense(1)(inputs)).fit(x, y)",
        "StateError",
        "'functional' (Model) must be compiled before fit",
        "try",
    ),
    "wrong targets": Misuse(
        "model_of().fit(x, np.zeros((8, 3)))",
        "DataError",
        "mean_squared_error needs targets of the shape of the outputs",
        "expected received",
    ),
    "wrong features": Misuse(
        "model_of().fit(np.zeros((8, 5)), y)",
        "DataError",
        "The input 'input_layer' has the wrong size",
        "expected received",
    ),
    "unequal rows": Misuse(
        "model_of().fit(x, y[:7])",
        "DataError",
        "The arrays differ in their number of rows",
        "expected received",
    ),
    "no rows": Misuse(
        "model_of().fit(x[:0], y[:0])",
        "DataError",
        "The arrays have no rows",
        "received",
    ),
    "no targets": Misuse(
        "model_of().fit(x)",
        "ConfigError",
        "The output 'dense' has a loss and no targets",
        "expected received try",
    ),
    "texts as data": Misuse(
        'model_of().fit(np.array([["a"] * 4] * 8), y)',
        "DataError",
        "x does not hold numbers",
        "expected received try",
    ),
    "lists of unequal lengths": Misuse(
        "model_of().fit([[1, 2, 3, 4], [1, 2]], y[:2])",
        "DataError",
        "x cannot be made into an array",
        "expected received try",
    ),
    "a class out of range": Misuse(
        'model_of(3, loss="sparse_categorical_crossentropy").fit(x, np.full((8, 1), 7))',
        "DataError",
        "sparse_categorical_crossentropy met class labels that the ou",
        "expected received try",
    ),
    "epoch for epochs": Misuse(
        "model_of().fit(x, y, epoch=2)",
        "CallError",
        "fit: got an unexpected keyword argument 'epoch'",
        "at expected try",
    ),
    "epochs as a text": Misuse(
        'model_of().fit(x, y, epochs="2")',
        "ConfigError",
        "fit cannot have this value of `epochs`",
        "expected received",
    ),
    "a batch size of zero": Misuse(
        "model_of().fit(x, y, batch_size=0)",
        "DataError",
        "`batch_size` cannot be 0",
        "expected received",
    ),
    "a generator of bare x": Misuse(
        """
def rows():
    yield x


model_of().fit(rows())
""",
        "ConfigError",
        "The output 'dense' has a loss and no targets",
        "expected received try",
    ),
    "a generator that is empty": Misuse(
        "model_of().fit(iter(()))",
        "DataError",
        "tuple_iterator gave no batch",
        "expected try",
    ),
    "a generator that breaks": Misuse(
        """
def rows():
    yield x, y
    raise OSError('the disk is gone')


model_of().fit(rows(), verbose=0)
""",
        "OSError",
        "the disk is gone",
    ),
    "a bug in a loss": Misuse(
        """
def squares(y_true, y_pred):
    return y_true.shapes


model_of(loss=squares).fit(x, y)
""",
        "AttributeError",
        "DynamicJaxprTracer has no attribute shapes",
    ),
    "a bug in a metric": Misuse(
        """
def share(y_true, y_pred):
    return y_pred + jnp.zeros((3, 7))[:, y_true.shape[0] :, None, None, None] @ y_pred


model_of(metrics=[share]).fit(x, y)
""",
        "TypeError",
        "dot_general requires contracting dimensions to have the same",
    ),
    "a bug in a callback": Misuse(
        """
class Mine(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs['acc']


model_of().fit(x, y, callbacks=[Mine()], verbose=0)
""",
        "KeyError",
        "'acc'",
    ),
    "a callback that is a function": Misuse(
        "model_of().fit(x, y, callbacks=[print], verbose=0)",
        "ConfigError",
        "This is not a callback",
        "expected received try",
    ),
    "validation data of one array": Misuse(
        "model_of().fit(x, y, validation_data=x, verbose=0)",
        "ConfigError",
        "The output 'dense' has a loss and no targets",
        "expected received try",
    ),
    "predict of wrong features": Misuse(
        "model_of().predict(np.zeros((8, 5)))",
        "DataError",
        "The input 'input_layer' has the wrong size",
        "expected received",
    ),
    "a call with wrong features": Misuse(
        "model_of()(np.zeros((8, 5)))",
        "DataError",
        "The input 'input_layer' has the wrong size",
        "expected received",
    ),
    "a file that is not there": Misuse(
        'keras.saving.load_model("nowhere.keras")',
        "ModelFileError",
        "The file 'nowhere.keras' does not exist",
    ),
    "a file of another kind": Misuse(
        """
import pathlib
pathlib.Path("other.keras").write_text("no model")
keras.saving.load_model("other.keras")
""",
        "ModelFileError",
        "The file 'other.keras' is damaged, or no Keras file",
        "place expected received try",
    ),
    "a lambda in a file": Misuse(
        """
made = keras.Model(inputs, layers.Lambda(lambda v: v * 2)(inputs))
made.save("made.kgraph")
""",
        "ConfigError",
        "The option 'function' of 'lambda' cannot be written to a file",
        "received try",
    ),
    "weights of another model": Misuse(
        """
model_of().save_weights("w.weights.h5")
model_of(3).load_weights("w.weights.h5")
""",
        "ModelFileError",
        "The file 'w.weights.h5' has other weights than the model",
        "weights try",
    ),
    "a program without variables": Misuse(
        "keras.lower(model_of()).apply(x)",
        "CallError",
        "Program.apply: missing a required argument: 'inputs'",
        "at expected",
    ),
    "a program with other variables": Misuse(
        'keras.lower(model_of()).apply({"params": {}, "state": {}}, x)',
        "StateError",
        "The variables have no 'dense'",
        "expected received",
    ),
}
