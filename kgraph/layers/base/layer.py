"""The Layer: options in `__init__`, weights in `build`, math in `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from kgraph import regularizers
from kgraph.config import DTypePolicy
from kgraph.constructors import accepts
from kgraph.custom_objects import get_registered_name
from kgraph.declared import declare, is_own
from kgraph.errors import ConfigError, NotYetError
from kgraph.graph.node import LayerSpec, TensorSpec, WeightSpec
from kgraph.graph.structure import map_structure
from kgraph.graph.symbol import Call, KerasTensor, SymbolicTensor
from kgraph.graph.traits import Traits
from kgraph.hooks import is_overridden, refuse_overrides
from kgraph.layers.base import calling
from kgraph.layers.base.call_spec import call_spec, name_training
from kgraph.layers.base.context import running
from kgraph.layers.base.core import (
    Core,
    as_flag,
    as_policy,
    context_of,
    label_of,
    next_key,
    set_name,
)
from kgraph.layers.base.first_keys import FirstKeys
from kgraph.layers.base.on_tensorflow import call_on_tensors, has_tensors
from kgraph.layers.base.options import take_shape, unknown_options
from kgraph.layers.base.scopes import in_scope
from kgraph.layers.base.shapes import map_shapes, shape_arguments
from kgraph.layers.base.stateless import stateless_call
from kgraph.layers.base.stored import build_config, load_by_number, own_by_number
from kgraph.layers.base.traits import traits_of
from kgraph.layers.base.tree import name_paths, name_weights, named_weights, parts_of
from kgraph.layers.base.variable import Variable
from kgraph.layers.base.weighted import Weighted
from kgraph.registry import config_of, describe, restored_options
from kgraph.tracebacks import entries
from kgraph.types import Array, ArrayLike, Config, Function, RegularizerLike


@entries
class Layer(Weighted):
    """Base of all layers.

    A subclass keeps its options in `__init__`, declares weights with `add_weight` in `build` (or in
    `__init__`), and computes in `call(inputs, training=None, mask=None)`. Inside `call` each weight
    is a plain JAX array; state (`trainable=False`) is updated by assigning the attribute. Layers
    and models held in attributes, lists or dicts are part of the layer. Config is recorded: neither
    `get_config` nor `from_config` need be written. What the compiler may assume of a layer, its
    class says: `class Noise(Layer, traits=Traits(idle_at_inference=True))`; see `Traits`.

    Args:
        activity_regularizer: a function of the output whose value is added to the loss, divided by
            the batch size.
        trainable: False keeps the weights out of training.
        dtype: name of a dtype or policy (`"float32"`, `"mixed_bfloat16"`), or a DTypePolicy.
        autocast: whether floating inputs and weights are cast to the compute dtype in `call`.
        name: unique in a model; by default the model gives one.
        input_shape, input_dim, batch_input_shape: of the inputs: a Sequential that begins with the
            layer is built for them. New code has `Input` there.

    Raises:
        ConfigError: an option is unknown or has a value it cannot have.

    >>> import numpy as np
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> Scale()(np.ones((2, 3), "float32")).shape
    (2, 3)
    """

    supports_masking: bool = False
    autocast: bool = True
    input_spec: Any = None
    activity_regularizer: Function | None = None
    _kgraph_kind = "layer"
    _kgraph_core: ClassVar[type[Core]] = Core
    _kgraph_masks_inside: bool = False
    _kgraph_never_builds: bool = False
    _kgraph_idle: ClassVar[frozenset[str]] = frozenset()  # options of old that have no effect

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        layer = object.__new__(cls)
        refuse_overrides(layer, "Layer")
        vars(layer).update(_kgraph=cls._kgraph_core((args, kwargs)), built=False)
        return layer

    def __init__(
        self,
        *,
        activity_regularizer: RegularizerLike | None = None,
        trainable: bool = True,
        dtype: str | DTypePolicy | None = None,
        autocast: bool = True,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        take_shape(self, unknown)
        if unknown:
            raise unknown_options(type(self), unknown)
        set_name(self, name)
        self._kgraph.trainable, self._kgraph.policy = as_flag(self, trainable), as_policy(dtype)
        self.autocast = autocast
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if self._kgraph_never_builds and is_own(type(self)):
            self.built = True

    def __init_subclass__(
        cls, traits: Traits | Callable[[Any], Traits] | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if traits is not None:
            declare(cls, traits)
        if "build" in vars(cls):
            cls.build = _build_once(vars(cls)["build"])  # type: ignore[method-assign]

    # --- what a subclass writes ------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Declares the weights for an input of this shape (a structure of shapes for several)."""
        if not self._kgraph.building:  # else a subclass' own `build` goes on
            _finish_build(self)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output; every subclass writes its own."""
        raise ConfigError(
            f"{type(self).__name__} has no call method", hint="define call(self, inputs)"
        )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Returns the mask of the output: by default that of the input, if masks are supported."""
        return previous_mask if self.supports_masking else None

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Raises GraphError if the specs of the arguments already show a fault."""

    # --- randomness and losses -------------------------------------------------------------------

    def next_key(self) -> Array:
        """Returns a fresh random key inside `call`: decided by the run's key and the layer's path.

        A layer with an attribute `seed` that is a number draws by the seed in the place of the
        path.
        """
        return next_key(self)

    def add_loss(self, loss: Array) -> None:
        """Adds a term to the training loss, inside `call`."""
        context_of(self, "add a loss").add_loss(loss)

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if has_tensors(args, kwargs):  # first: AutoGraph runs what comes before in its own way
            return call_on_tensors(self, args, kwargs)
        args, kwargs = name_training(call_spec(type(self)), args, kwargs)
        if self._kgraph.context is not None:
            return calling.call_bound(self, args, kwargs)
        if calling.has_symbols(args, kwargs):
            return calling.call_on_symbols(self, args, kwargs)
        context = running()  # AutoGraph cannot read `:=`
        if context is not None:
            return calling.call_untracked(self, context, args, kwargs)
        return calling.call_on_arrays(self, args, kwargs)

    def stateless_call(
        self,
        trainable_variables: Sequence[ArrayLike],
        non_trainable_variables: Sequence[ArrayLike],
        *args: Any,
        return_losses: bool = False,
        key: Array | None = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the outputs, and the new values of `non_trainable_variables`. Pure.

        Args:
            trainable_variables, non_trainable_variables: values of the variables of these names.
            args, kwargs: of the call.
            return_losses: whether the losses that the layer adds come third, and penalties of
                regularizers.
            key: a JAX key, needed where a layer draws random numbers (Keras has it in variables).

        Raises:
            StateError: there are more or fewer values than variables, or a key is missing.
        """
        outputs, state, losses = stateless_call(
            self, trainable_variables, non_trainable_variables, args, kwargs, key
        )
        return (outputs, state, losses) if return_losses else (outputs, state)

    def _kgraph_ensure_built(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Builds the layer for these call arguments, unless it is built."""
        if not self.built:
            self.build(**shape_arguments(self, "build", args, kwargs))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns symbols like the outputs, for inputs given as anything with shape and dtype."""

        def symbol(item: Any) -> Any:
            return KerasTensor(item.shape, item.dtype) if hasattr(item, "shape") else item

        outputs = calling.call_on_symbols(
            self, tuple(map_structure(symbol, a) for a in args), map_structure(symbol, kwargs)
        )
        return map_structure(lambda s: KerasTensor(s.symbolic_shape, s.dtype), outputs)

    def compute_output_shape(self, input_shape: Any, *more: Any, **named: Any) -> Any:
        """Returns the shape of the output (None for unknown sizes) for inputs of these shapes.

        Args:
            input_shape: a shape, or shapes nested as the first argument of `call` is.
            more, named: those of further arguments: `query_shape` is of `query`.
        """

        def spec(shape: Any) -> TensorSpec:
            return TensorSpec(shape, self.compute_dtype)

        args = [map_shapes(spec, shapes) for shapes in (input_shape, *more)]
        kwargs = {k.removesuffix("_shape"): map_shapes(spec, v) for k, v in named.items()}
        return map_structure(lambda s: s.shape, self.compute_output_spec(*args, **kwargs))

    # --- files -----------------------------------------------------------------------------------

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Puts the layer's own weights into `store`, by number: a class may keep other arrays.

        `load_own_variables` gets the same names and arrays back. Weights of layers inside are not
        the layer's own.
        """
        for name, weight in own_by_number(self).items():
            store[name] = weight.value

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Sets the layer's own weights from what `save_own_variables` has stored."""
        load_by_number(self, store)

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns what `build_from_config` needs: the shapes that the layer was built for."""
        return build_config(self)

    def _kgraph_build_config(self) -> dict[str, Any] | None:
        hooks = ("get_build_config", "build_from_config")
        return self.get_build_config() if any(is_overridden(self, h) for h in hooks) else None

    def _kgraph_build_from(self, config: Mapping[str, Any]) -> None:
        """Builds the layer by what a file has of `get_build_config`."""
        self.build_from_config(config)
        self.built = True

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Builds the layer as one was built whose `get_build_config` returned this."""
        shapes = map_shapes(tuple, dict(config))  # in files they are lists
        if "shapes_dict" in shapes:
            self.build(**shapes["shapes_dict"])
        elif shapes.get("input_shape") is not None:
            self.build(shapes["input_shape"])

    # --- symbolic tensors -----------------------------------------------------------------------

    @property
    def output(self) -> Any:
        """The symbols that the layer's first call returned."""
        return calling.outputs_of(self._kgraph_call())

    @property
    def input(self) -> Any:
        """The symbols of the first argument of the layer's first call."""
        call = self._kgraph_call()
        return calling.fill(call.args[0], call.inputs) if call.args else list(call.inputs)

    def _kgraph_call(self) -> Call:
        call = self._kgraph.call()
        if call is None:
            raise NotYetError(
                f"{label_of(self)} is not part of a graph",
                hint="call it on a symbolic tensor and keep the result (or the model) alive",
            )
        return call

    # --- description -----------------------------------------------------------------------------

    @property
    def _kgraph_makes_mask(self) -> bool:
        """Whether the layer itself decides about the mask of its output."""
        return self._kgraph_masks_inside or type(self).compute_mask is not Layer.compute_mask

    @property
    def _kgraph_keys(self) -> FirstKeys | None:
        """What initial values are drawn by, if this is a model."""
        return None

    @property
    def _kgraph_opens_path(self) -> bool:
        """Whether paths of what is inside begin with the layer's: not in a functional model."""
        return self._kgraph_inner_graph is None

    @property
    def _kgraph_inner_graph(self) -> Any:
        """The graph of a functional model; None for other layers."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the recorded arguments, name, trainable and dtype as plain data."""
        config = super().get_config()
        core = self._kgraph
        config.update(name=self.name, trainable=core.trainable, dtype=core.policy.name)
        return config

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """Makes a layer from `get_config`'s result; the constructor need not take name or dtype."""
        options = restored_options(cls, config)
        common = {
            name: options.pop(name)
            for name in ("name", "trainable", "dtype")
            if name in options and not accepts(cls, name)
        }
        layer = cls(**options)
        if "name" in common:
            set_name(layer, common["name"])
        if "dtype" in common:
            layer._kgraph.policy = as_policy(common["dtype"])
        layer._kgraph.trainable = common.get("trainable", layer._kgraph.trainable)
        return layer

    def _kgraph_spec(self) -> LayerSpec:
        """Returns the layer as data, as graphs keep it."""
        config = describe(config_of(self))
        config.pop("name", None)
        config.pop("trainable", None)
        weights = tuple(
            WeightSpec(path, w.shape, w.dtype, w.trainable) for path, w in named_weights(self)
        )
        name = get_registered_name(type(self))
        parts = list(parts_of(self))
        own, traits = all(is_own(type(part)) for part in parts), traits_of(self, parts)
        return LayerSpec(name, config, weights, self._kgraph_inner_graph, own, traits)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r}{'' if self.built else ', not built'}>"


declare(Layer, Traits())


def _build_once(build: Function) -> Function:
    """Makes a `build` run once per layer, also when the user calls it."""

    signature = inspect.signature(build)
    own = next(iter(signature.parameters))

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        core = self._kgraph
        outermost = not core.building
        if outermost and self.built:
            return
        core.building = True
        declared = len(core.weights)
        try:
            build(self, *args, **kwargs)
        except BaseException:
            del core.weights[declared:]  # a second try starts from nothing
            raise
        finally:
            if outermost:
                core.building = False
        if outermost:
            core.shapes = dict(signature.bind(self, *args, **kwargs).arguments)
            core.shapes.pop(own)
            _finish_build(self)

    return wrapper


def _finish_build(layer: Layer) -> None:
    layer.built = True
    name_weights(layer)
    name_paths(layer, layer._kgraph.path or in_scope(layer.name))


__all__ = ["Layer", "SymbolicTensor", "Variable", "as_policy"]
