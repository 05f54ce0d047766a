"""A layer whose `get_config` fails is used as any other, and is not written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError


class Failing(kgraph.layers.Rescaling):
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


def net() -> kgraph.Model:
    inputs = kgraph.Input((3,))
    return kgraph.Model(inputs, Failing(3.0)(kgraph.layers.Dense(2)(inputs)))


def test_it_trains_and_a_save_says_why_not(tmp_path):
    model = net()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert model.predict(np.ones((4, 3)), verbose=0).shape == (4, 2)
    with pytest.raises(ConfigError, match=r"get_config[\s\S]*no attribute 'size'[\s\S]*mend it"):
        model.save(tmp_path / "m.kgraph")
    model.save_weights(tmp_path / "w.safetensors")


@kgraph.saving.register_keras_serializable("tests")
class Whole(kgraph.Model):
    def __init__(self, **options: Any) -> None:
        made = net()
        super().__init__(made.inputs, made.outputs, **options)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_model_whose_class_makes_it_is_saved(tmp_path):
    model = Whole()
    model.save(tmp_path / "m.kgraph")
    loaded = kgraph.models.load_model(tmp_path / "m.kgraph")
    np.testing.assert_array_equal(loaded(np.ones((2, 3)))[0], model(np.ones((2, 3)))[0])
