"""Objects that can be written as plain data and read back, by name, from a closed list.

An object of kgraph is described by `{"kind": "layer", "class_name": "Dense", "config": {...}}`.
Reading looks the pair (kind, name) up in a dictionary that holds kgraph's own classes, what the
user registered, and the `custom_objects` in force; nothing is ever imported or fetched by name.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

import numpy

from kgraph.constructors import form_of
from kgraph.custom_objects import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
)
from kgraph.declared import is_own
from kgraph.descriptions import Opaque, find_opaque, written
from kgraph.errors import ConfigError, KGraphError, nearest
from kgraph.keras_forms import (
    KERAS_OPTIONS,
    KINDS,
    is_keras_form,
    is_special,
    kind_and_name,
    says_nothing,
    special_value,
)
from kgraph.lazy import load_kind
from kgraph.option_types import check_option_types
from kgraph.tracebacks import entry
from kgraph.types import Config, CustomObjects

_LONGEST_SHOWN = 60

T = TypeVar("T")

_own: dict[tuple[str, str], Any] = {}


@dataclass(eq=False)
class Record:
    """What kgraph keeps of an object whose class may be a user's: the arguments it was made with.

    It is the attribute `_kgraph`; all other names are free for the class. Records of layers,
    metrics, ... have more fields.
    """

    arguments: tuple[tuple[Any, ...], dict[str, Any]] = field(default_factory=lambda: ((), {}))


class Recorded:
    """Base of objects whose constructor arguments are remembered, so that their config is a fact.

    A subclass writes neither `get_config` nor `from_config`; it may write either.
    """

    _kgraph: Any  # a Record
    _kgraph_kind: ClassVar[str] = "object"

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        instance = super().__new__(cls)
        vars(instance)["_kgraph"] = Record((args, kwargs))
        return instance

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_own(cls) and "__init__" in vars(cls):
            cls.__init__ = entry(vars(cls)["__init__"])  # type: ignore[method-assign]
        if is_own(cls) and not cls.__name__.startswith("_"):
            _own[cls._kgraph_kind, cls.__name__] = cls
            _own.setdefault((cls._kgraph_kind, snake_case(cls.__name__)), cls)

    def __repr__(self) -> str:
        """Returns the class with the options that were given and are not the default."""
        defaults = form_of(type(self)).defaults
        given = recorded_arguments(self).items()
        shown = (f"{k}={_shown(v)}" for k, v in given if k not in defaults or defaults[k] is not v)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _kgraph_build_config(self) -> dict[str, Any] | None:
        """Returns what the class says is needed to build it again; None if it says nothing."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as plain data (JSON types)."""
        return _described(recorded_arguments(self))

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """Makes an object from what `get_config` returned."""
        return cls(**restored_options(cls, config))


def _shown(value: object) -> str:
    """Returns an option as text: functions by their names, and nothing that fills a screen."""
    text = value.__qualname__ if inspect.isroutine(value) else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def restored_options(cls: type, config: Config) -> dict[str, Any]:
    """Returns the options in a config as the constructor takes them; of our classes, checked.

    Raises:
        ConfigError: an option has a type that the constructor does not take.
    """
    options = {
        name: restore(value) for name, value in config.items() if not says_nothing(cls, name, value)
    }
    if is_own(cls):
        check_option_types(cls, options)
    return options


def recorded_arguments(thing: Recorded) -> dict[str, Any]:
    """Returns the constructor's arguments by name, with defaults, `**kwargs` spread out."""
    args, kwargs = thing._kgraph.arguments
    form = form_of(type(thing))
    given = {**form.defaults, **dict(zip(form.positional, args)), **kwargs}
    if form.rest is not None and len(args) > len(form.positional):
        given[form.rest] = args[len(form.positional) :]
    return {name: given.pop(name) for name in form.names if name in given} | given


def config_of(thing: Recorded) -> dict[str, Any]:
    """Returns `get_config()`; if it fails, that of its base of ours, and why it is not written."""
    try:
        return thing.get_config()
    except KGraphError:
        raise
    except Exception as error:
        why = Opaque(f"get_config fails: {type(error).__name__}: {error}", 0)
        ours = next(base for base in type(thing).__mro__ if is_own(base)).get_config(thing)
        return ours | {"get_config": why}


def register(kind: str, name: str, thing: T) -> T:
    """Adds an object of kgraph's own (a function, or an alias of a class) to the closed list."""
    _own[kind, name] = thing
    return thing


def registered_names(kind: str, like: str | None = None) -> list[str]:
    """Returns the names of kgraph's own objects of one kind.

    With a name that they are to be `like`, none that is equal to it but for case and `_` is
    missing, others may be: modules that a script does not need stay unimported.
    """
    load_kind(kind, like)
    return sorted(name for k, name in _own if k == kind)


def lookup(kind: str, name: Any) -> Any:
    """Returns the class or function known as `name`; a ConfigError names the nearest ones."""
    found = get_registered_object(name) if isinstance(name, str) else None
    if found is None and isinstance(name, str):
        found = _find_own(kind, name)
    if found is None:
        raise ConfigError(
            f"No {'class or function' if kind == 'custom' else kind} is known as {name!r}",
            hint=[
                nearest(name, registered_names(kind))
                or f"known: {', '.join(registered_names(kind)[:40])}",
                "for a class or function of your own, pass custom_objects={...} or decorate it "
                "with @kgraph.saving.register_keras_serializable()",
            ],
        )
    return found


def has_own(kind: str, name: str) -> bool:
    """Tells whether kgraph itself has a class or function of this kind and name."""
    return _find_own(kind, name) is not None


def _find_own(kind: str, name: str) -> Any | None:
    """Returns kgraph's own object of this name; what is not imported yet may have it.

    `name` chooses among modules of kgraph, by tables (`lazy.py`); it never becomes a module's name.
    """
    if (kind, name) not in _own:
        load_kind(kind, like=name)
    if (kind, name) not in _own:  # a name that is not public, or an alias
        load_kind(kind)
    return _own.get((kind, name))


def resolve(kind: str, identifier: object) -> Any:
    """Returns the object that an option such as `activation="relu"` stands for.

    A string or a class becomes an object (a function stays one), a description is read back, a
    callable is taken as it is, and None stays None.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        return restore(_of_kind(kind, identifier))
    thing = lookup(kind, identifier) if isinstance(identifier, str) else identifier
    if inspect.isclass(thing):
        return thing()
    if callable(thing) or isinstance(thing, Recorded):
        return thing
    raise ConfigError(
        f"This cannot be used as {kind}",
        expected="a name, an object, a callable or a config",
        received=f"{identifier!r} ({type(identifier).__name__})",
    )


def _of_kind(kind: str, config: Config) -> Mapping[str, Any]:
    """Returns a config as kgraph writes it; Keras' form names a module in the place of the kind."""
    if "kind" in config or "class_name" not in config:
        return config
    if config["class_name"] == "function":
        return {"kind": kind, "function": config["config"]}
    config = {"class_name": config["class_name"], "config": config.get("config") or {}}
    return {"kind": kind, **config}


def serialize(kind: str, thing: object) -> Any:
    """Returns an object as JSON types, or raises ConfigError if a part of it cannot be written."""
    config = written(describe(thing))
    for path, value in find_opaque(config):
        raise ConfigError(
            f"This {kind} cannot be written down",
            received=f"{value.text} at {path!r}" if path else value.text,
            hint="decorate your class or function with "
            "@kgraph.saving.register_keras_serializable()",
        )
    return config


def deserialize(kind: str, config: object, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the object that `serialize` wrote down; also reads names and Keras' own configs."""
    with custom_object_scope(custom_objects):
        return resolve(kind, config)


@cache
def snake_case(name: str) -> str:
    """Returns a class name in snake case, as Keras names layers.

    >>> [snake_case(n) for n in ("Conv2DTranspose", "MaxPooling2D", "LSTM", "CustomRNN")]
    ['conv2d_transpose', 'max_pooling2d', 'lstm', 'custom_rnn']
    """
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


_FUNCTIONS = (
    "activation", "constraint", "initializer", "loss", "metric_function", "regularizer",
)  # fmt: skip
PLAIN = frozenset({type(None), bool, int, str})  # what most options are


def describe(value: object) -> Any:
    """Returns `value` as JSON types; what cannot be written down becomes an `Opaque`."""
    if type(value) in PLAIN or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return _described(value)
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, bytes) and (text := _as_text(value)) is not None:
        return {"class_name": "__bytes__", "config": {"value": text}}
    plain_data = getattr(value, "plain_data", None)
    if plain_data is not None:
        return plain_data()
    if isinstance(value, Recorded):
        name = get_registered_name(type(value))
        made = {"kind": value._kgraph_kind, "class_name": name, "config": config_of(value)}
        build = value._kgraph_build_config()
        return made if build is None else {**made, "build": describe(build)}
    return _describe_foreign(value)


def _as_text(value: bytes) -> str | None:
    """Returns bytes as the text that stands for them in a config; None if they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _described(items: Mapping[str, Any]) -> dict[str, Any]:
    # Most options are plain as they are, and a deep model has tens of thousands of them.
    return {k: v if type(v) in PLAIN else describe(v) for k, v in items.items()}


def _describe_foreign(value: Any) -> Any:
    if isinstance(value, Opaque):
        return value
    for (kind, name), thing in _own.items():
        if thing is value or getattr(thing, "__wrapped__", None) is value:
            return {"kind": kind, "function": name}
    for label, thing in get_custom_objects().items():
        if thing is value:
            return {"kind": "custom", "function": label}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        if value.ndim == 0 and not hasattr(value, "__setitem__"):  # a NumPy scalar, not an array
            return describe(value.item())
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    policy = getattr(value, "name", None)
    if type(value).__name__ in ("DTypePolicy", "dtype") or "dtype" in type(value).__name__.lower():
        return str(policy)
    if inspect.isclass(value) and hasattr(value, "dtype"):  # jnp.float32 and the like
        return value.__name__
    own_config = getattr(value, "get_config", None)
    if own_config and hasattr(value, "from_config") and not inspect.isclass(value):
        name = get_registered_name(type(value))
        return {"kind": "custom", "class_name": name, "config": describe(own_config())}
    return Opaque(repr(value), id(value), _name_of_function(value))


def _name_of_function(value: Any) -> str | None:
    """Returns the name of a function, compiled or not; none of a lambda, which has none."""
    plain = inspect.isfunction(value) or inspect.isfunction(getattr(value, "__wrapped__", None))
    name = getattr(value, "__name__", "")
    return name if plain and name.isidentifier() else None


def restore(value: object) -> Any:
    """Returns the value that `describe` wrote. Runs constructors of known classes alone."""
    if isinstance(value, list):
        return [restore(item) for item in value]
    if isinstance(value, Opaque):
        return value if value.written is None else restore(value.written)
    if not isinstance(value, Mapping):
        return value
    keys = set(value)
    if keys - {"build"} == {"kind", "class_name", "config"}:
        made = _class(value["kind"], value["class_name"]).from_config(value["config"])
        if "build" in keys:
            made._kgraph_build_from(restore(value["build"]))
        return made
    if is_special(value):
        return special_value(value["class_name"], value["config"])
    if is_keras_form(value):
        return _restore_from_keras(value)
    if keys == {"kind", "function"}:
        return lookup(value["kind"], value["function"])
    if keys == {"array", "dtype"}:
        return numpy.asarray(value["array"], dtype=value["dtype"])
    if keys == {"float"}:
        return float(value["float"])
    if keys == {"slice"}:
        return slice(*value["slice"])
    if keys == {"ellipsis"}:
        return Ellipsis
    return {key: restore(item) for key, item in value.items()}


def _class(kind: str, name: str) -> Any:
    found = lookup(kind, name)
    if not (inspect.isclass(found) and hasattr(found, "from_config")):
        raise ConfigError(f"{name!r} is not a class with from_config")
    return found


def keras_function(module: object, name: object) -> Any:
    """Returns the function of this name; Keras writes `builtins` for a module of any kind."""
    kind = KINDS.get(module, "custom") if isinstance(module, str) else "custom"
    kinds = _FUNCTIONS if module == "builtins" else (kind, f"{kind}_function")
    known = [k for k in kinds if isinstance(name, str) and has_own(k, name)]
    return lookup(known[0] if known else "custom", name)


def _restore_from_keras(data: Mapping[str, Any]) -> Any:
    """Returns the function or object that Keras wrote down. The module says only of which kind."""
    name, config, label = data["class_name"], data["config"], data.get("registered_name")
    kind, own_name = kind_and_name(data["module"], name)
    if name == "function":
        found = get_registered_object(label) if isinstance(label, str) else None
        return found or keras_function(data["module"], config)
    if kind is None:
        own_name = label if isinstance(label, str) else name
    cls = _class(kind or "custom", "Model" if own_name == "Functional" else own_name)
    own = KERAS_OPTIONS.get(cls.__name__, {}) if is_own(cls) else {}
    made = cls.from_config({**config, **own})
    if data.get("compile_config"):
        made.compile_from_config(data["compile_config"])
    return made
