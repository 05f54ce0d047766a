"""Schedules as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.errors import ConfigError
from kgraph.optimizers.schedules.schedule import LearningRateSchedule
from kgraph.registry import custom_object_scope, describe, lookup, registered_names


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Returns a schedule as plain data: `{"kind": "schedule", "class_name": …, "config": …}`."""
    return describe(learning_rate_schedule)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> LearningRateSchedule:
    """Returns the schedule that `serialize`, or Keras' function of that name, wrote down."""
    if not {"class_name", "config"} <= set(config):
        raise ConfigError(
            "This does not describe a learning rate schedule",
            expected="a mapping with 'class_name' and 'config'",
            received=repr(dict(config)),
        )
    with custom_object_scope(custom_objects):
        return lookup("schedule", config["class_name"]).from_config(config["config"])


def get(identifier: Any) -> LearningRateSchedule:
    """Returns `identifier` if it is a schedule, or the schedule that a config describes."""
    if isinstance(identifier, LearningRateSchedule):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise ConfigError(
        "This is not a learning rate schedule",
        expected=f"a config, or one of {', '.join(registered_names('schedule'))}",
        received=f"{identifier!r} ({type(identifier).__name__})",
        hint="a name alone is not enough: every schedule has options without a default",
    )
