"""Layers that act in training only are not part of programs for inference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import assert_same_arrays, models
from hypothesis import HealthCheck, given, settings
from inference_models import classes, inputs_for, trained_variables

import kgraph
from kgraph import Input, Model, layers
from kgraph.compiler.passes import drop_noise
from kgraph.declared import _words, speaker
from kgraph.graph import verify
from kgraph.layers import Dense, Dropout, Embedding, RandomFlip
from kgraph.layers.image.base import ImageLayer


def word_of_class(cls: type) -> object:
    """Returns what a class says of each of its layers, whatever their options."""
    return _words.get(speaker(cls))


_ARGUMENTS = {
    "RandomPosterization": (3,), "RandomTranslation": (0.1, 0.1), "RandomSharpness": (0.5,),
    **dict.fromkeys(
        ("ActivityRegularization", "AugMix", "CutMix", "Identity", "MixUp", "RandAugment",
         "RandomColorJitter", "RandomElasticTransform", "RandomErasing", "RandomFlip",
         "RandomGaussianBlur", "RandomGrayscale", "RandomInvert", "RandomPerspective",
         "RandomShear", "Solarization"), ()
    ),
}  # fmt: skip
IDLE = {
    name for name in dir(layers)
    if isinstance(found := getattr(layers, name), type) and issubclass(found, kgraph.Layer)
    and getattr(word_of_class(found), "idle_at_inference", False)
}  # fmt: skip
QUICK = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "Identity", "MixUp", "RandomFlip", "SpatialDropout1D",
)  # fmt: skip


def param(name: str):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


_SHAPES = {"SpatialDropout1D": (6, 3), "SpatialDropout3D": (2, 6, 6, 3)}


@pytest.mark.parametrize("name", [param(name) for name in sorted(IDLE)])
def test_each_known_class_returns_its_input_outside_of_training(name):
    """The pass trusts what they say; here each layer runs, on values that no image has."""
    x = Input(_SHAPES.get(name, (6, 6, 3)))
    model = Model(x, getattr(layers, name)(*_ARGUMENTS.get(name, (0.1,)))(x))
    (values,) = inputs_for(model)
    values *= 300
    found, _ = kgraph.lower(model, ()).apply({"params": {}, "state": {}}, values)
    np.testing.assert_array_equal(found, values)
    assert not list(drop_noise(model.graph).calls)


def test_every_layer_that_draws_for_images_is_known():
    drawing = {
        name for name in dir(layers)
        if isinstance(found := getattr(layers, name), type) and issubclass(found, ImageLayer)
        and found.draw_batch is not ImageLayer.draw_batch
    }  # fmt: skip
    assert drawing - IDLE == {"RandomCrop"}, "which resizes outside of training"


class Users(Dropout):
    """A user's layer: what its call does is not known."""

    def call(self, inputs, training=None):
        return super().call(inputs, training)


Users.__name__ = "Dropout"


STAYS = {
    "in training": lambda x: Dropout(0.5)(x, training=True),
    "users": lambda x: Users(0.5)(x),
    "dtype": lambda x: Dropout(0.5, dtype="bfloat16")(x),
    "integers": lambda x: RandomFlip()(x > 0.0),
    "several": lambda x: layers.MixUp()({"images": x, "labels": x[:, 0, 0]})["images"],
    "structure": lambda x: layers.Identity()([x, x])[0],
    "activation": lambda x: layers.Activation("relu")(x),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_may_change_its_input_stays(name):
    x = Input((4, 4, 3))
    graph = Model(x, STAYS[name](x)).graph
    assert drop_noise(graph) == graph


def test_masks_go_on_as_before():
    x = Input((None,), dtype="int32")
    words = Embedding(4, 3, mask_zero=True)(x)
    model = Model(x, Dense(2)(Dropout(0.5)(words)))
    program = kgraph.lower(model, inference=True)
    assert classes(program) == ["Embedding", "Dense"]
    found = program.run(trained_variables(model), np.array([[1, 0]], np.int32)).masks
    np.testing.assert_array_equal(found[0], [[True, False]])


def test_a_layer_that_ends_a_mask_stays():
    x = Input((4, 4, 3))
    with pytest.warns(UserWarning, match="mask of its input ends here"):
        graph = Model(x, RandomFlip()(layers.Masking()(x))).graph
    assert drop_noise(graph) == graph


def test_outputs_may_be_inputs_afterwards():
    x = Input((3,))
    model = Model(x, [Dropout(0.5)(layers.Activation("linear")(x)), Dense(2)(x)])
    program = kgraph.lower(model, inference=True)
    assert classes(program) == ["Dense"]
    arrays = inputs_for(model)
    found = program.apply(trained_variables(model), arrays)[0]
    np.testing.assert_array_equal(found[0], arrays[0])


RANDOM = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@RANDOM
@given(model=models())
def test_random_models_infer_the_same(model):
    before = replace(model.graph).content_hash
    slim = drop_noise(model.graph)
    verify(slim)
    assert drop_noise(slim) == slim
    assert replace(model.graph).content_hash == before
    variables, arrays = trained_variables(model), inputs_for(model)
    plain, passed = (kgraph.lower(model, passes) for passes in ((), (drop_noise,)))
    assert_same_arrays(passed.apply(variables, arrays), plain.apply(variables, arrays))
