"""The base of all optimizers: Keras' common options around one optax transformation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_rate
from kgraph.declared import declare, method_of
from kgraph.errors import ConfigError
from kgraph.layers.base import Variable
from kgraph.optimizers.adjustable import _Adjustable
from kgraph.optimizers.averaging import move_average, overwrite_every
from kgraph.optimizers.gradients import clip_by_global_norm, clip_each_by_norm, clip_values
from kgraph.optimizers.learning_rate import LearningRate, as_learning_rate, is_schedule
from kgraph.optimizers.options import check_clipping, check_known, check_whole
from kgraph.optimizers.own_rules import rule_of, standing_in, through_apply
from kgraph.optimizers.per_parameter import zeros_like
from kgraph.optimizers.state import OptimizerState, one_more
from kgraph.patterns import compiled
from kgraph.registry import describe, snake_case
from kgraph.tracebacks import entries
from kgraph.types import Array, Config, Tree

if TYPE_CHECKING:
    from optax import GradientTransformation

_EXCLUDED = "exclude_from_weight_decay"


@entries
class Optimizer(_Adjustable):
    """Turns gradients into updates of parameters.

    A host object that only holds options. `init` and `update` are pure and have the signatures of
    an optax transformation, so `optax.GradientTransformation(optimizer.init, optimizer.update)` is
    one. A subclass gives its options and `transformation`; the order of an update is Keras':
    unscale, accumulate, clip, decay weights, apply the rule, average.

    A class whose rule treats each number of a parameter by itself, whatever the parameter's shape
    and path, and whose state is made of trees like the parameters, may say so: `class
    Mine(Optimizer, elementwise=True)`, or a function of the optimizer that tells. Weights of
    repeated blocks then stay stacked while it trains them. A subclass that changes the rule says it
    again.

    Args:
        learning_rate: a number, a `LearningRateSchedule` (or another function of the number of
            updates), or a function without arguments that is asked on the host.
        weight_decay: decoupled: parameters shrink by `weight_decay * learning_rate` of themselves
            before the rule is applied.
        clipnorm: the largest L2 norm of each gradient. At most one of the three limits is given.
        clipvalue: the largest absolute value of each element.
        global_clipnorm: the largest joint L2 norm of all gradients.
        use_ema: keeps a moving average of the parameters, which `finalize` returns. It starts from
            the parameters after the first update.
        ema_momentum: from 0 to 1; how much of the average stays at each update.
        ema_overwrite_frequency: after how many updates parameters are set to their average.
        loss_scale_factor: what `scale_loss` multiplies by and `update` divides by.
        gradient_accumulation_steps: at least 2; an update is made from the mean of so many
            gradients, and the calls between return zeros.
        name: how the optimizer is called in files.

    Raises:
        ConfigError: if an option has a value that it cannot have.

    Source: checked against Keras 3.15. It differs where gradients are accumulated: Keras evaluates
    schedules at the count of gradients and moves the average at every gradient; here schedules and
    averages see updates only.
    """

    _kgraph_kind: ClassVar[str] = "optimizer"

    def __init_subclass__(
        cls, elementwise: bool | Callable[[Any], bool] | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if elementwise is not None:
            declare(cls, elementwise)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        owner = type(self).__name__
        check_known(owner, unknown)
        check_clipping(
            owner, clipnorm=clipnorm, clipvalue=clipvalue, global_clipnorm=global_clipnorm
        )
        check_rate(owner, "ema_momentum", ema_momentum)
        check_whole(owner, "ema_overwrite_frequency", ema_overwrite_frequency, least=1)
        check_whole(owner, "gradient_accumulation_steps", gradient_accumulation_steps, least=2)
        self.name = name or snake_case(owner)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue = clipnorm, clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._kgraph.rate = as_learning_rate(owner, learning_rate)

    # What a subclass gives

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        """Returns the rule as an optax transformation, without any of the common options.

        Called once in each trace of `init` and `update`, so its state must not depend on the value
        of `learning_rate`, a float32 scalar. The update it returns is added to the parameters.
        """
        raise ConfigError(
            f"{type(self).__name__} does not say how it updates parameters",
            expected="a method transformation(self, learning_rate), or update_step as in Keras",
            hint="return an optax transformation, such as optax.sgd(learning_rate)",
        )

    def decay_of(self, path: str, parameter: Array) -> float | None:
        """Returns the weight decay of the parameter at `path` (`"dense/kernel"`), or None.

        Not asked about parameters that `exclude_from_weight_decay` spares.
        """
        return self.weight_decay

    def _kgraph_rule(self, learning_rate: Array) -> GradientTransformation:
        # Of a rule of ours with an `update_step` of the user's, and the other way round, the later
        # word counts.
        words = ("update_step", "transformation")
        says = next(w for cls in type(self).__mro__ for w in words if w in vars(cls))
        if says == "update_step":
            return rule_of(self, learning_rate)
        return method_of(self, "transformation", 1)(learning_rate)

    # The pure part. Whoever calls it takes what the class has with such arguments: a subclass may
    # use these names for something else.

    def _kgraph_init(self, params: Any) -> Any:
        return method_of(self, "init", 1)(params)

    def _kgraph_update(self, grads: Tree, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        return method_of(self, "update", 3)(grads, state, params, **extra)

    def _kgraph_finalize(self, params: Any, state: Any) -> Any:
        return method_of(self, "finalize", 2)(params, state)

    def init(self, params: Any) -> OptimizerState:
        """Returns the state before the first update of `params`, a pytree of arrays."""
        if type(self).build is not Optimizer.build:
            standing_in(self, params)  # whose `build` a program for Keras expects to be called
        scheduled = is_schedule(self._kgraph.rate)
        # Not `jnp.asarray` and `jnp.zeros`, which compile, or a first training takes longer.
        rate = jax.device_put(np.float32(0.0 if scheduled else self._kgraph_number()))
        accumulates = self.gradient_accumulation_steps is not None
        return OptimizerState(
            step=jax.device_put(np.int32(0)),
            inner=self._kgraph_rule(rate).init(params),
            learning_rate=None if scheduled else rate,
            # A copy: a training step may be given both and donate both.
            average=jax.tree.map(jnp.copy, params) if self.use_ema else None,
            accumulated=jax.tree.map(zeros_like, params) if accumulates else None,
            micro_step=jnp.zeros([], jnp.int32) if accumulates else None,
        )

    def update(
        self, grads: Tree, state: OptimizerState, params: Any, **extra: Any
    ) -> tuple[Any, OptimizerState]:
        """Returns what to add to `params` (`optax.apply_updates` does), and the next state.

        Args:
            grads: shaped like `params`, of the loss that `scale_loss` returned.
            state: the state before this update.
            params: the parameters before it.
            extra: what only some optax transformations read, such as `value=loss`.
        """
        if type(self).apply is not Optimizer.apply:
            return through_apply(self, grads, state, params)
        return self._kgraph_updated(grads, state, params, **extra)

    def _kgraph_updated(
        self, grads: Tree, state: OptimizerState, params: Any, **extra: Any
    ) -> tuple[Any, OptimizerState]:
        """Does what `update` does, whatever `apply` a class has of its own."""
        grads = jax.tree.map(lambda g, p: g.astype(p.dtype), grads, params)
        if self.loss_scale_factor is not None:
            grads = jax.tree.map(lambda g: g / self.loss_scale_factor, grads)
        if self.gradient_accumulation_steps is None:
            return self._kgraph_update_once(grads, state, params)
        return self._kgraph_accumulate(grads, state, params)

    def scale_loss(self, loss: Array, state: Any = None) -> Array:
        """Returns the loss to differentiate: times `loss_scale_factor`, which `update` undoes.

        Args:
            loss: scalar.
            state: the state that `update` will be given. `LossScaleOptimizer` has its scale there.
        """
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def averaged(self, state: OptimizerState) -> Any:
        """Returns the moving average of the parameters; raises ConfigError without `use_ema`."""
        return self._kgraph_averaged(state)

    def _kgraph_averaged(self, state: OptimizerState) -> Any:
        if state.average is None:
            raise ConfigError(
                f"{type(self).__name__} keeps no average of the parameters",
                hint="make it with use_ema=True",
            )
        return state.average

    def finalize(self, params: Any, state: OptimizerState) -> Any:
        """Returns the parameters that training ends with: their average under `use_ema`."""
        return jax.tree.map(jnp.copy, self._kgraph_averaged(state)) if self.use_ema else params

    def _kgraph_accumulate(
        self, grads: Tree, state: OptimizerState, params: Any
    ) -> tuple[Any, OptimizerState]:
        steps, waiting = self.gradient_accumulation_steps, jnp.asarray(state.micro_step)
        total = jax.tree.map(jnp.add, state.accumulated, grads)

        def update() -> tuple[Any, OptimizerState]:
            mean = jax.tree.map(lambda g: g / steps, total)
            updates, after = self._kgraph_update_once(mean, state, params)
            nothing = jax.tree.map(jnp.zeros_like, total)
            return updates, after._replace(accumulated=nothing, micro_step=waiting * 0)

        def wait() -> tuple[Any, OptimizerState]:
            after = state._replace(accumulated=total, micro_step=waiting + 1)
            return jax.tree.map(jnp.zeros_like, params), after

        return jax.lax.cond(waiting + 1 == steps, update, wait)

    def _kgraph_update_once(
        self, grads: Any, state: OptimizerState, params: Any
    ) -> tuple[Any, OptimizerState]:
        rate = self._kgraph_current_rate(state)
        decay = self._kgraph_decay(params, rate)
        shrunk = params if decay is None else jax.tree.map(jnp.add, params, decay)
        rule = self._kgraph_rule(rate)
        updates, inner = rule.update(self._kgraph_clip(grads), state.inner, shrunk)
        # A rule written with optax alone may widen bfloat16 updates by the float32 rate.
        updates = jax.tree.map(lambda u, p: u.astype(p.dtype), updates, params)
        if decay is not None:
            # Not `decay + updates`: params + ((shrunk + u) - params) rounds as Keras' two steps do.
            updates = jax.tree.map(lambda s, u, p: (s + u) - p, shrunk, updates, params)
        after = state._replace(step=one_more(state.step), inner=inner)
        if not self.use_ema:
            return updates, after
        new = jax.tree.map(jnp.add, params, updates)
        average = move_average(state.average, new, after.step, self.ema_momentum)
        if (every := self.ema_overwrite_frequency) is not None:
            updates = overwrite_every(every, updates, average, params, after.step)
        return updates, after._replace(average=average)

    def _kgraph_clip(self, grads: Tree) -> Any:
        if self.clipnorm is not None:
            return clip_each_by_norm(grads, self.clipnorm)
        if self.global_clipnorm is not None:
            return clip_by_global_norm(grads, self.global_clipnorm)
        return grads if self.clipvalue is None else clip_values(grads, self.clipvalue)

    def _kgraph_decay(self, params: Any, rate: Array) -> Any | None:
        """Returns what weight decay adds to each parameter, or None if it adds nothing anywhere."""

        decay_of = method_of(self, "decay_of", 2)

        def strength(path: tuple[Any, ...], parameter: Array) -> float:
            name = path_of(path)
            spared = any(compiled(pattern).search(name) for pattern in self._kgraph.excluded)
            return 0.0 if spared else decay_of(name, parameter) or 0.0

        decays = jax.tree_util.tree_map_with_path(strength, params)
        if not any(jax.tree.leaves(decays)):
            return None
        return jax.tree.map(lambda p, wd: -(p * wd * rate.astype(p.dtype)), params, decays)

    # Options as data

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[Variable | str] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        """Spares parameters from weight decay: these variables, and those of these names.

        Call it before the first step is compiled; unlike in Keras the names are part of the config.

        Args:
            var_list: variables.
            var_names: patterns; each is a regular expression searched for in the path of a
                parameter (`"dense/bias"`). They may stand first as well.
        """
        listed = [*(var_list or ())] if not isinstance(var_list, str) else [var_list]
        names = [var_names] if isinstance(var_names, str) else list(var_names or ())
        names = [item for item in listed if isinstance(item, str)] + names
        self._kgraph.spared += [item for item in listed if not isinstance(item, str)]
        self._kgraph.excluded = tuple(dict.fromkeys((*self._kgraph.excluded, *names)))

    def _kgraph_locate(self, paths: Mapping[int, str]) -> None:
        """Is told under which paths variables (by identity) stand in the parameters."""
        spared = [paths[id(variable)] for variable in self._kgraph.spared if id(variable) in paths]
        if spared:
            self.exclude_from_weight_decay(var_names=[f"^{re.escape(path)}$" for path in spared])

    def get_config(self) -> dict[str, Any]:
        """Returns the options as plain data, with the learning rate as it is now."""
        config = super().get_config()
        config["learning_rate"] = describe(self._kgraph.rate)
        if self._kgraph.excluded:
            config[_EXCLUDED] = list(self._kgraph.excluded)
        return config

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """Makes an optimizer from what `get_config` returned."""
        options = dict(config)
        excluded = options.pop(_EXCLUDED, ())
        rate = options.get("learning_rate")
        if isinstance(rate, Mapping) and "class_name" in rate:
            options["learning_rate"] = as_learning_rate(cls.__name__, rate)
        optimizer = super().from_config(options)
        if excluded:
            optimizer.exclude_from_weight_decay(excluded)
        return optimizer


def path_of(path: tuple[Any, ...]) -> str:
    """Returns the path of a leaf as one string: `"dense/kernel"`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
