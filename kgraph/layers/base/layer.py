"""The Layer: options in `__init__`, weights in `build`, math in `call`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph import constraints, initializers, regularizers
from kgraph.config import DTypePolicy, dtype_policy
from kgraph.errors import ConfigError, GraphError, StateError
from kgraph.graph.node import LayerSpec, TensorSpec, WeightSpec
from kgraph.graph.structure import map_structure
from kgraph.graph.symbol import Call, SymbolicTensor
from kgraph.layers.base import calling
from kgraph.layers.base.binding import Bindable, holds_bindable, members
from kgraph.layers.base.call_spec import call_spec, name_training
from kgraph.layers.base.options import unknown_options
from kgraph.layers.base.weight import Weight
from kgraph.registry import Recorded, accepts, describe, get_registered_name, restore, snake_case
from kgraph.types import Array, Function, Tree

_order = itertools.count()


class Layer(Bindable, Recorded):
    """Base of all layers.

    A subclass keeps its options in `__init__`, declares weights with `add_weight` in `build` (or in
    `__init__`), and computes in `call(inputs, training=None, mask=None)`. Inside `call` each weight
    is a plain JAX array; state (`trainable=False`) is updated by assigning the attribute. Layers
    and models held in attributes, lists or dicts are part of the layer. Config is recorded: neither
    `get_config` nor `from_config` need be written.

    Args:
        activity_regularizer: a function of the output whose value is added to the loss, divided by
            the batch size.
        trainable: False keeps the weights out of training.
        dtype: name of a dtype or policy (`"float32"`, `"mixed_bfloat16"`), or a DTypePolicy.
        autocast: whether floating inputs and weights are cast to the compute dtype in `call`.
        name: unique in a model; by default the model gives one.

    Raises:
        ConfigError: an option is unknown or has a value it cannot have.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> Scale()(np.ones((2, 3), "float32")).shape
    (2, 3)
    """

    kind = "layer"
    supports_masking: bool = False
    autocast: bool = True
    masks_inside: bool = False
    input_spec: Any = None
    activity_regularizer: Function | None = None
    _trainable: bool = True
    _policy: DTypePolicy
    _weights: list[Weight]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls, *args, **kwargs)
        vars(layer).update(
            _weights=[], _own_losses=[], _first_call=None, built=False, order=next(_order),
            explicit_name=None, kept_name=None, _policy=dtype_policy(),
        )  # fmt: skip
        return layer

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: str | DTypePolicy | None = None,
        autocast: bool = True,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_options(type(self), unknown)
        self._set_name(name)
        self._trainable = bool(trainable)
        self._policy = as_policy(dtype)
        self.autocast = autocast
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _build_once(vars(cls)["build"])  # type: ignore[method-assign]

    # --- what a subclass writes ------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Declares the weights for an input of this shape (a structure of shapes for several)."""

    def call(self, *args: Any, **kwargs: Any) -> Tree:
        """Computes the output; every subclass writes its own."""
        raise ConfigError(
            f"{type(self).__name__} has no call method", hint="define call(self, inputs)"
        )

    def compute_mask(self, inputs: Tree, previous_mask: Tree = None) -> Tree:
        """Returns the mask of the output: by default that of the input, if masks are supported."""
        return previous_mask if self.supports_masking else None

    def check_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises GraphError if the specs of the arguments already show a fault."""

    # --- weights, randomness, losses -------------------------------------------------------------

    def add_weight(
        self,
        shape: Sequence[int | None] | int | None = None,
        initializer: Any = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Any:
        """Declares a weight and returns it. No array is made until one is needed.

        Args:
            shape: sizes, all known.
            initializer: by default glorot_uniform for floats and zeros for other dtypes.
            dtype: by default the policy's variable dtype.
            trainable: False for state that the layer updates itself by assignment.
            autocast, aggregation, overwrite_with_gradient: accepted as in Keras; unused here.
            regularizer, constraint: names, configs or functions.
            name: by default the attribute that the weight is assigned to.
        """
        sizes = (shape,) if isinstance(shape, int) else tuple(shape or ())
        if any(not isinstance(size, (int, np.integer)) for size in sizes):
            raise GraphError(
                f"{self.label} needs known sizes for its weight {name or ''!r}",
                received=sizes,
                hint="give the sizes of the feature axes in Input(shape=...)",
            )
        dtype = str(np.dtype(dtype) if dtype not in (None, "bfloat16") else dtype or self.dtype)
        if initializer is None:
            initializer = "glorot_uniform" if "float" in dtype else "zeros"
        weight = Weight(
            tuple(int(size) for size in sizes), initializers.get(initializer), dtype, trainable,
            regularizers.get(regularizer), constraints.get(constraint), name,
        )  # fmt: skip
        self._weights.append(weight)
        return weight

    def next_key(self) -> Array:
        """Returns a fresh random key inside `call`: decided by the run's key and the layer's path.

        A layer with an attribute `seed` that is a number draws by the seed in the place of the
        path.
        """
        if self._context is None:
            raise StateError(f"{self.label} can draw keys only inside its call")
        return self._context.next_key(getattr(self, "seed", None))

    def add_loss(self, loss: Array) -> None:
        """Adds a term to the training loss, inside `call`."""
        if self._context is None:
            raise StateError(f"{self.label} can add a loss only inside its call")
        self._context.add_loss(loss)

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = name_training(call_spec(type(self)), args, kwargs)
        if self._context is not None:
            return calling.call_bound(self, args, kwargs)
        if calling.has_symbols(args, kwargs):
            return calling.call_on_symbols(self, args, kwargs)
        return calling.call_on_arrays(self, args, kwargs)

    def ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Builds the layer for these call arguments, unless it is built."""
        if not self.built:
            self.build(**calling.build_arguments(self, args, kwargs))
            self.built = True
            self._name_weights()

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Tree:
        """Returns the specs of the outputs for inputs given as anything with shape and dtype."""

        def symbol(item: Any) -> Any:
            if not hasattr(item, "shape"):
                return item
            spec = calling.spec_like(item.shape, str(item.dtype))
            return calling.placeholder(spec)

        outputs = calling.call_on_symbols(
            self, tuple(map_structure(symbol, a) for a in args), map_structure(symbol, kwargs)
        )
        return map_structure(lambda s: s.spec, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the output (None for unknown sizes) for inputs of these shapes."""
        is_shape = isinstance(input_shape, tuple) and all(
            size is None or isinstance(size, int) for size in input_shape
        )
        shapes = input_shape if is_shape else list(input_shape)
        if is_shape:
            inputs: Any = TensorSpec(shapes, self.compute_dtype)
        else:
            inputs = [TensorSpec(tuple(shape), self.compute_dtype) for shape in shapes]
        return map_structure(lambda s: s.shape, self.compute_output_spec(inputs))

    # --- names and places ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name: explicit, or the one that the first model gave, or the class in snake case."""
        return self.explicit_name or self.kept_name or self.base_name

    @property
    def base_name(self) -> str:
        """What automatic names are made of."""
        return snake_case(type(self).__name__)

    @property
    def label(self) -> str:
        """The layer in messages: `'head' (Dense)`."""
        return f"{self.name!r} ({type(self).__name__})"

    def keep_name(self, name: str) -> None:
        """Takes the name that a graph gave, if the layer has none yet."""
        if self.explicit_name is None and self.kept_name is None:
            self.kept_name = name

    def _set_name(self, name: str | None) -> None:
        if name is not None and (not isinstance(name, str) or not name or set(name) & set("/:")):
            raise ConfigError(
                f"{type(self).__name__} cannot be named {name!r}",
                expected="a text without '/' and ':'",
            )
        self.explicit_name = name

    @property
    def output(self) -> Tree:
        """The symbols that the layer's first call returned."""
        return calling.outputs_of(self._call())

    @property
    def input(self) -> Tree:
        """The symbols of the first argument of the layer's first call."""
        call = self._call()
        return calling.fill(call.args[0], call.inputs) if call.args else list(call.inputs)

    def _call(self) -> Call:
        call = self._first_call() if self._first_call is not None else None
        if call is None:
            raise StateError(
                f"{self.label} is not part of a graph",
                hint="call it on a symbolic tensor and keep the result (or the model) alive",
            )
        return call

    # --- weights as a list, and by path ----------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yields path and layer for each layer directly inside this one."""
        yield from members(self, Layer)

    def named_weights(self) -> Iterator[tuple[str, Weight]]:
        """Yields path and weight, each once: own trained ones, own state, layers inside."""
        seen: set[int] = set()
        for path, weight, _ in self._walk_weights("", True):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield path, weight

    def _walk_weights(self, prefix: str, trained: bool) -> Iterator[tuple[str, Weight, bool]]:
        trained = trained and self._trainable
        for weight in sorted(self._weights, key=lambda w: not w.trainable):
            yield f"{prefix}{weight.name or 'weight'}", weight, trained and weight.trainable
        for name, child in self.children():
            yield from child._walk_weights(f"{prefix}{name}/", trained)

    def _name_weights(self) -> None:
        """Gives weights without a name that of their attribute, and makes names unique."""
        places = {id(weight): path.replace("/", "_") for path, weight in members(self, Weight)}
        taken = {path.partition("/")[0] for path, _ in self.children()}
        for weight in self._weights:
            base = weight.name or places.get(id(weight), "weight")
            name, n = base, 0
            while name in taken:
                n += 1
                name = f"{base}_{n}"
            weight.name = name
            taken.add(name)

    @property
    def named_weights_exist(self) -> bool:
        """Whether the layer has any weight."""
        return next(self.named_weights(), None) is not None

    @property
    def weights(self) -> list[Weight]:
        """All weights, in Keras' order: trainable, then state, then those of the layers inside."""
        return [weight for _, weight in self.named_weights()]

    variables = weights

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes."""
        walked = {id(w): (w, t) for _, w, t in reversed(list(self._walk_weights("", True)))}
        return [w for w in self.weights if walked[id(w)][1]]

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """State, and the weights that are frozen."""
        trained = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trained]

    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets the layers inside as well."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for _, child in self.children():
            child.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Returns a copy of each weight on the host, in the order of `weights`."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order of `weights`; all fit or none is set."""
        own = list(self.named_weights())
        if len(own) != len(weights):
            raise StateError(
                f"{self.label} has {len(own)} weights", received=f"{len(weights)} arrays"
            )
        for (path, weight), array in zip(own, weights):
            if tuple(np.shape(array)) != weight.shape:
                raise StateError(
                    f"{self.label} cannot take this array as {path!r}",
                    expected=weight.shape,
                    received=np.shape(array),
                )
        for (path, weight), array in zip(own, weights):
            weight.path = weight.path or f"{self.name}/{path}"
            weight.assign(array)

    def count_params(self) -> int:
        """Returns the number of scalars in all weights."""
        if not self.built and not self._weights:
            raise StateError(f"{self.label} has no weights yet", hint="call it once, or build it")
        return sum(weight.size for weight in self.weights)

    @property
    def losses(self) -> list[Array]:
        """What the last call on arrays added, and the current value of each weight regularizer."""
        penalties = [w.regularizer(w.value) for w in self.trainable_weights if w.regularizer]
        return [*self._own_losses, *penalties]

    # --- dtypes ----------------------------------------------------------------------------------

    @property
    def dtype_policy(self) -> DTypePolicy:
        """The dtypes of the layer."""
        return self._policy

    @property
    def dtype(self) -> str:
        """The dtype of new weights."""
        return self._policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype in which `call` computes."""
        return self._policy.compute_dtype

    # --- description -----------------------------------------------------------------------------

    @property
    def makes_mask(self) -> bool:
        """Whether the layer itself decides about the mask of its output."""
        return self.masks_inside or type(self).compute_mask is not Layer.compute_mask

    @property
    def is_own(self) -> bool:
        """Whether the class is kgraph's: of those, options and weights decide everything."""
        return type(self).__module__.partition(".")[0] == "kgraph"

    @property
    def remembers_inference(self) -> bool:
        """Whether the shapes inferred for a call hold for each equal call of an equal layer."""
        return self.is_own

    def get_config(self) -> dict[str, Any]:
        """Returns the recorded arguments, name, trainable and dtype as plain data."""
        config = super().get_config()
        config.update(name=self.name, trainable=self._trainable, dtype=self._policy.name)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Makes a layer from `get_config`'s result; the constructor need not take name or dtype."""
        options = {name: restore(value) for name, value in config.items()}
        common = {
            name: options.pop(name)
            for name in ("name", "trainable", "dtype")
            if name in options and not accepts(cls, name)
        }
        layer = cls(**options)
        if "name" in common:
            layer._set_name(common["name"])
        if "dtype" in common:
            layer._policy = as_policy(common["dtype"])
        layer._trainable = common.get("trainable", layer._trainable)
        return layer

    def variant(self, config: Mapping[str, Any]) -> Layer:
        """Returns a layer with other options and the same weights (for compiler passes)."""
        other = type(self).from_config({**config, "name": self.name})
        shared = ("_weights", "built", "input_spec", "_trainable")
        for name, value in vars(self).items():
            if name in shared or (name not in self.unbound_attributes and holds_bindable(value)):
                vars(other)[name] = value
        return other

    def spec(self) -> LayerSpec:
        """Returns the layer as data, as graphs keep it."""
        config = describe(self.get_config())
        config.pop("name", None)
        config.pop("trainable", None)
        weights = tuple(
            WeightSpec(path, w.shape, w.dtype, w.trainable) for path, w in self.named_weights()
        )
        name = get_registered_name(type(self))
        return LayerSpec(name, config, weights, self.inner_graph, self.is_own)

    @property
    def inner_graph(self) -> Any:
        """The graph of a functional model; None for other layers."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r}{'' if self.built else ', not built'}>"


def _build_once(build: Function) -> Function:
    """Makes a `build` run once per layer, also when the user calls it."""

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        outermost = not vars(self).get("_building", False)
        if outermost and self.built:
            return
        vars(self)["_building"] = True
        declared = len(self._weights)
        try:
            build(self, *args, **kwargs)
        except BaseException:
            del self._weights[declared:]  # a second try starts from nothing
            raise
        finally:
            if outermost:
                del vars(self)["_building"]
        if outermost:
            self.built = True
            self._name_weights()

    return wrapper


def as_policy(dtype: Any) -> DTypePolicy:
    """Returns the policy that an option `dtype` stands for."""
    if dtype is None:
        return dtype_policy()
    if isinstance(dtype, DTypePolicy):
        return dtype
    if isinstance(dtype, str):
        return DTypePolicy(dtype)
    return DTypePolicy(np.dtype(dtype).name)


__all__ = ["Layer", "SymbolicTensor", "Weight", "as_policy"]
