"""Every public name of Keras is here, or stands in a table with the reason why it is not."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import pytest

import kgraph

_QUANTIZED = "nothing here computes with weights of 8 or 4 bits"

LEFT_OUT: dict[str, dict[str, str]] = {
    "": {
        "Quantizer": _QUANTIZED,
        "quantizers": _QUANTIZED,
        "SymbolicScope": "says that ops trace; here a SymbolicTensor says so itself",
        "distillation": "is a model's own train_step, which a user can write",
        "legacy": "is Keras 2",
        "src": "is the inside of Keras",
    },
    "config": {"enable_unsafe_deserialization": "nothing of a file is ever run"},
    "dtype_policies": {
        **dict.fromkeys(
            ("AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy",
             "QuantizedFloat8DTypePolicy"),
            _QUANTIZED,
        ),
    },
    "export": {"ExportArchive": "writes TensorFlow SavedModels"},
    "layers": {
        "MaxNumBoundingBoxes": "image layers move images, labels and masks, and refuse boxes",
        "TFSMLayer": "runs a TensorFlow SavedModel, which no JAX program can trace",
        "TorchModuleWrapper": "wraps a PyTorch module, which no JAX program can trace",
    },
    "optimizers": {"legacy": "is Keras 2"},
    "saving": {"KerasFileEditor": "is missing; see kgraph/README.md"},
    "utils": {"legacy": "is Keras 2"},
}  # fmt: skip
"""What is left out, by namespace, and why."""


def public(namespace: Any) -> set[str]:
    return {name for name in dir(namespace) if not name.startswith("_")}


NAMESPACES = [""] + [
    name
    for name in sorted(public(keras) & public(kgraph))
    if isinstance(getattr(keras, name), ModuleType)
]


@pytest.mark.parametrize("name", NAMESPACES)
def test_what_keras_has_is_here_or_has_a_reason(name: str) -> None:
    theirs, ours = (getattr(K, name) if name else K for K in (keras, kgraph))
    assert public(theirs) - public(ours) == set(LEFT_OUT.get(name, {}))
    for one in public(theirs) & public(ours):
        kinds = [callable(getattr(namespace, one)) for namespace in (theirs, ours)]
        assert kinds[0] == kinds[1], f"{name}.{one} is a module in one of them"


@pytest.mark.parametrize("name", [name for name in NAMESPACES if hasattr(kgraph, name)])
def test_what_dir_lists_is_there_and_public(name: str) -> None:
    listed = dir(getattr(kgraph, name))
    assert not {"TYPE_CHECKING", "lazy_names"} & set(listed)
    assert all(hasattr(getattr(kgraph, name), one) for one in listed)
