"""The options that every optimizer has, and what they may be."""

from __future__ import annotations

from typing import Any, TypedDict

from kgraph.checks import check_count
from kgraph.errors import ConfigError, nearest


class OptionsButDecay(TypedDict, total=False):
    """The keyword arguments that all optimizers share; `Optimizer` documents them."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Options(OptionsButDecay, total=False):
    """Those, and weight decay, which some optimizers have in another place."""

    weight_decay: float | None


def check_known(owner: str, unknown: dict[str, Any]) -> None:
    """Raises ConfigError if there is an argument that no optimizer has."""
    known = ("learning_rate", *Options.__annotations__)
    for name in unknown:
        raise ConfigError(
            f"{owner} has no option {name!r}",
            expected="its own options, or " + ", ".join(known),
            hint="learning_rate" if name == "lr" else nearest(name, known),
        )


def check_clipping(owner: str, **limits: float | None) -> None:
    """Raises ConfigError if more than one limit is given, or one that is not positive."""
    given = {name: limit for name, limit in limits.items() if limit is not None}
    shown = ", ".join(f"{name}={limit}" for name, limit in given.items())
    if len(given) > 1:
        raise ConfigError(
            f"{owner} can clip gradients in one way only",
            expected="at most one of clipnorm, clipvalue and global_clipnorm",
            received=shown,
        )
    if any(not limit > 0 for limit in given.values()):
        raise ConfigError(f"{owner} needs a positive clipping limit", received=shown)


def check_whole(owner: str, option: str, value: object, least: int) -> None:
    """Raises ConfigError unless `value` is None or a whole number of at least `least`."""
    if value is not None:
        check_count(owner, option, value, least)
