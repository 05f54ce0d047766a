"""A trace of some steps of a training, by jax.profiler."""

from __future__ import annotations

import os
from collections.abc import Callable

import jax

from kgraph.checks import is_whole
from kgraph.distribution.coordination import is_leader
from kgraph.errors import ConfigError
from kgraph.source import warn
from kgraph.writing import local_path


class Profile:
    """Traces the steps from `first` to `last`, counted from 1 over the epochs of one `fit`.

    Blocks of steps end where the trace begins and ends; else steps run as without it. In the trace
    each operation has the names of the layers around it. Of several processes the first one writes.

    Args:
        steps: the first step and the last; a number is both.
        folder: TensorBoard shows what is written there, under Profile.
        owner: whose option it is, and its name; for the error.

    Raises:
        ConfigError: `steps` are none.
    """

    def __init__(
        self, steps: int | tuple[int, int], folder: str | os.PathLike[str], owner: tuple[str, str]
    ) -> None:
        pair = (steps, steps) if isinstance(steps, int) else steps
        whole = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not (whole and all(is_whole(n, least=1) for n in pair) and pair[0] <= pair[1]):
            raise ConfigError(
                f"{owner[0]} cannot have this value of `{owner[1]}`",
                expected="the first and the last step of a trace, counted from 1: (10, 15)",
                received=repr(steps),
            )
        self.first, self.last = pair
        self.folder = local_path(folder)
        self._done, self._runs = 0, False

    def most_steps(self) -> int | None:
        """Returns how many steps there are to the next that begins or ends the trace."""
        bound = self.first - 1 if self._done < self.first - 1 else self.last
        return bound - self._done if bound > self._done else None

    def before_block(self, wait: Callable[[], None]) -> None:
        """Comes before steps are handed over; `wait` waits for those that were."""
        if not self._runs and self._done == self.first - 1 and is_leader():
            wait()
            jax.profiler.start_trace(self.folder)
            self._runs = True

    def after_block(self, steps: int, wait: Callable[[], None]) -> None:
        """Comes after so many steps were handed over."""
        self._done += steps
        if self._runs and self._done >= self.last:
            wait()
            self.end()

    def warn_if_too_late(self) -> None:
        """Says so if a training has ended before the first step of the trace."""
        if self._done < self.first and is_leader():
            warn(
                f"No trace was written to {self.folder!r}: it begins with step {self.first}, and "
                f"this training had {self._done}"
            )

    def end(self) -> None:
        """Writes the trace of a training that has ended before its last step."""
        if self._runs:
            self._runs = False
            jax.profiler.stop_trace()
