"""Sizes that a file may name: no object allocates by them before they are checked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WALK = """
import inspect, pathlib, resource, signal
import kgraph
from kgraph import registry
from kgraph.errors import KGraphError

kinds = ("layer", "metric", "loss", "optimizer", "initializer", "regularizer", "constraint")
for kind in kinds:
    registry.registered_names(kind)
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

def out_of_time(*_):
    raise TimeoutError

signal.signal(signal.SIGALRM, out_of_time)
tried, bad = 0, []
classes = {thing for (kind, _), thing in registry._own.items() if inspect.isclass(thing)}
for cls in sorted(classes, key=lambda c: c.__qualname__):
    options = list(inspect.signature(cls.__init__).parameters.values())[1:]
    options = [p for p in options if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    needed = {p.name: 2 for p in options if p.default is p.empty}
    for option in options:
        number = isinstance(option.default, int) and not isinstance(option.default, bool)
        if not number and "int" not in str(option.annotation):
            continue
        tried += 1
        signal.alarm(20)
        try:
            made = cls(**{**needed, option.name: 2**40})
            if hasattr(made, "init") and not hasattr(made, "update"):
                made.init()
        except (KGraphError, TypeError):
            pass
        except BaseException as error:
            bad.append((cls.__qualname__, option.name, type(error).__name__))
        finally:
            signal.alarm(0)
status = pathlib.Path("/proc/self/status")  # `ru_maxrss` begins with what the parent had
peak = int(status.read_text().partition("VmHWM:")[2].split()[0]) // 1024 if status.exists() else 0
print(tried > 200, peak < 1500, bad)
"""


@pytest.mark.slow
def test_no_class_allocates_by_a_number_that_it_has_not_checked():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", WALK], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.stdout.strip() == "True True []", done.stdout + done.stderr
