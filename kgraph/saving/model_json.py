"""A model without its weights as one JSON text, with a version, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.keras_forms import is_keras_form
from kgraph.saving.files import strict_json
from kgraph.saving.files.file_error import shown
from kgraph.saving.files.misfit import Misfit, check, check_keys
from kgraph.saving.keras_format.configs import model_from_keras
from kgraph.saving.kgraph_format.description import model_document, model_from_document
from kgraph.saving.kgraph_format.document_check import OWN, check_document
from kgraph.tracebacks import entry
from kgraph.types import CustomObjects

if TYPE_CHECKING:
    from kgraph.models.model import Model


FORMAT = "kgraph model"
FORMAT_VERSION = 1
"""Raised by a change that older readers would misread."""

_CUSTOM = "pass classes of your own: model_from_json(text, custom_objects={'Name': Name})"


def model_to_json(model: Model, **options: Any) -> str:
    """Returns a model (without weights) as JSON text; `options` go to `json.dumps`.

    Its keys are `format`, `format_version`, `model` (class and config) and `inputs` (of a model
    defined by code, what it was called on; otherwise null).

    Raises:
        ConfigError: an option of a layer, such as a lambda, cannot be written down.
    """
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    return json.dumps({**head, **model_document(model)}, **options)


@entry
def model_from_json(json_string: str, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the model that `Model.to_json` wrote, kgraph's or Keras', with fresh weights.

    Runs constructors of known classes only, under the limits of files.

    Args:
        json_string: the text.
        custom_objects: your own classes and functions by name.

    Raises:
        ConfigError: it is not what `to_json` wrote, or names a class that is not known.
        GraphError: the calls in it do not fit together.
    """
    try:
        data = strict_json.decode(json_string.encode())
    except ValueError as error:
        raise ConfigError(
            "The text is no JSON that is accepted", received=shown(str(error))
        ) from None
    if is_keras_form(data):
        return model_from_keras(data, custom_objects)
    with custom_object_scope(custom_objects):
        try:
            check_keys("the text", data, {"format", "format_version", "model", "inputs"})
            check("format", data["format"], lambda f: f == FORMAT, repr(FORMAT))
            version = data["format_version"]
            check("format_version", version, lambda v: v == FORMAT_VERSION, str(FORMAT_VERSION))
            document = {"model": data["model"], "inputs": data["inputs"]}
            check_document(document)
        except Misfit as misfit:
            raise ConfigError(
                "The text describes no model that can be made",
                place=shown(misfit.place), expected=misfit.expected,
                received=shown(misfit.received),
                hint=_CUSTOM if misfit.expected == OWN else None,
            ) from None  # fmt: skip
        return model_from_document(document)
