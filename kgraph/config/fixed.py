"""What Keras lets one switch and kgraph has one way of."""

from __future__ import annotations

from kgraph.errors import ConfigError


def backend() -> str:
    """Returns `"jax"`."""
    return "jax"


def set_backend(backend: str) -> None:
    """Accepts `"jax"`; there is no other backend.

    Raises:
        ConfigError: for any other name.
    """
    if backend != "jax":
        raise ConfigError(
            "kgraph computes with JAX alone", expected="'jax'", received=repr(backend)
        )


def is_nnx_enabled() -> bool:
    """Returns False: weights are kept by kgraph; see `layers.FlaxLayer` for modules of Flax."""
    return False


def is_traceback_filtering_enabled() -> bool:
    """Returns False: tracebacks are whole. The messages of errors name the line of the user."""
    return False


def disable_traceback_filtering() -> None:
    """Leaves tracebacks whole, as they always are."""


def enable_traceback_filtering() -> None:
    """Refuses: kgraph hides no frames of a traceback.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "kgraph does not filter tracebacks",
        hint="its errors name your line after `at`; JAX_TRACEBACK_FILTERING is JAX's own switch",
    )
