"""preprocessing: Keras' names for functions of `utils`, and smart_resize."""

from __future__ import annotations

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kgraph import preprocessing, utils
from kgraph.errors import ConfigError, DataError

IMAGE = np.random.default_rng(0).normal(size=(9, 14, 3)).astype("float32")


def test_the_names_of_keras_are_those_of_utils():
    for path in ("", "image", "sequence"):
        theirs = getattr(keras.preprocessing, path) if path else keras.preprocessing
        ours = getattr(preprocessing, path) if path else preprocessing
        names = {name for name in dir(theirs) if not name.startswith("_")}
        assert names == set(ours.__all__)
        for name in names - {"image", "sequence", "smart_resize"}:
            assert getattr(ours, name) is getattr(utils, name)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4, 4), (20, 7)])
def test_smart_resize_is_that_of_keras(size):
    for image, layout in (
        (IMAGE, "channels_last"),
        (IMAGE[None], "channels_last"),
        (IMAGE.transpose(2, 0, 1), "channels_first"),
    ):
        wanted = keras.preprocessing.image.smart_resize(image, size, data_format=layout)
        for given in (image, jnp.asarray(image)):
            made = preprocessing.image.smart_resize(given, size, data_format=layout)
            assert type(made) is type(given)
            np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_what_smart_resize_refuses():
    with pytest.raises(DataError, match=r"shape \(9, 14\)"):
        preprocessing.image.smart_resize(IMAGE[..., 0], (2, 2))
    with pytest.raises(ConfigError, match="`interpolation`"):
        preprocessing.image.smart_resize(IMAGE, (2, 2), "area")
