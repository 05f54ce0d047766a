"""What fit warns of, once, at the line that calls it."""

import warnings

import numpy as np
import pytest

import kgraph as keras
from kgraph import layers

X, Y = np.ones((8, 4), "float32"), np.arange(8).reshape(8, 1) % 3


def model(units=1, activation=None, **options):
    inputs = keras.Input((4,))
    outputs = layers.Dense(units, activation=activation, name="head", **options)(inputs)
    return keras.Model(inputs, outputs)


def warned(made, y=Y, **options):
    """Returns what two trainings warn of; each line of it must come from this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.fit(X, y, verbose=0, **options)
    assert {warning.filename for warning in caught} <= {__file__}
    return [str(warning.message) for warning in caught]


def test_nothing_that_is_trained():
    made = model(trainable=False)
    made.compile("sgd", "mse")
    (text,) = warned(made)
    assert text.startswith("No weight of the model is trained")


def test_no_loss_unless_a_layer_adds_one_or_a_weight_is_regularized():
    made = model()
    made.compile("sgd")
    (text,) = warned(made)
    assert text.startswith("The loss is 0 in every step")
    for options in ({"kernel_regularizer": "l2"}, {"activity_regularizer": "l2"}):
        made = model(**options)
        made.compile("sgd")
        assert warned(made) == []


def test_labels_of_one_class():
    made = model(3)
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert warned(made) == []
    assert warned(made, np.full((8, 1), 2)) == []  # so few may be chance
    with pytest.warns(UserWarning, match="All labels of the first batch for 'head' are 2"):
        made.fit(np.ones((32, 4), "float32"), np.full((32, 1), 2), verbose=0)


def test_the_first_loss_that_is_no_number_and_no_later_one():
    made = model()
    made.compile(keras.optimizers.SGD(1e30), "mse")
    (text,) = warned(made, epochs=4)
    assert text.startswith("The loss is inf")
    assert "check_finite=True" in text
    assert "float16" not in text


def test_a_float16_loss_that_overflows_says_how_far_float16_goes():
    made = model(dtype="float16")
    made.compile(keras.optimizers.SGD(0.0), "mse")
    (text,) = warned(made, np.full((8, 1), 1e30))
    assert "65504" in text


class Spare(layers.Layer):
    """Has a layer inside that it never calls, and adds what it calls to the loss if told to."""

    def __init__(self, **options):
        super().__init__(**options)
        self.used, self.spare = layers.Dense(4, name="used"), layers.Dense(4, name="spare")

    def build(self, input_shape):
        self.used.build(input_shape)
        self.spare.build(input_shape)

    def call(self, inputs):
        return self.used(inputs)


def test_weights_of_a_layer_that_no_output_depends_on():
    inputs = keras.Input((4,))
    made = keras.Model(inputs, layers.Dense(1)(Spare(name="pair")(inputs)))
    made.compile("sgd", "mse")
    (text,) = warned(made, epochs=2)
    assert text.startswith("No output depends on the weights of 'pair/spare', so training")
    assert warned(made) == []  # told once


def test_an_output_without_a_loss_is_an_output():
    inputs = keras.Input((4,))
    made = keras.Model(inputs, [layers.Dense(1, name=name)(inputs) for name in ("a", "b")])
    made.compile("sgd", {"a": "mse"})
    assert warned(made, {"a": Y}) == []


def test_weights_of_an_inner_output_that_nobody_reads():
    inner = keras.Input((4,))
    both = keras.Model(inner, [layers.Dense(1, name=name)(inner) for name in ("a", "b")])
    inputs = keras.Input((4,))
    made = keras.Model(inputs, both(inputs)[0])
    made.compile("sgd", "mse")
    (text,) = warned(made)
    assert text.startswith("No output depends on the weights of 'functional/b'")


def test_a_model_defined_by_code_whose_layers_all_count():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = Spare(), layers.Dense(1)

        def call(self, inputs):
            return self.head(self.hidden.spare(self.hidden.used(inputs)))

    made = Mine()
    made.compile("sgd", "mse")
    assert warned(made) == []
