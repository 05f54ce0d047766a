"""What every test shares: the oracle's backend, strict JAX, a compilation cache, clean settings."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KGRAPH_TRACEBACK_FILTERING", "off")  # a failing test shows where in kgraph
if "--xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()
# XLA runs these devices on as many threads, and each of them waits in a sum over devices for the
# others: with eight threads, two sums at once can wait for each other for ever.
os.environ.setdefault("NPROC", "32")

import hypothesis
import jax
import pytest

from kgraph import config

# A machine that does other work too is no reason to fail.
_untimed = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("untimed", **_untimed)
hypothesis.settings.load_profile("untimed")

_CACHE = Path(tempfile.gettempdir()) / f"kgraph-test-cache-{os.getuid()}"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
if not os.environ.get("KGRAPH_TEST_OPTIMIZED"):
    # Most of the suite's time is XLA's optimizer on functions that run once: a third less without.
    # .ci/run sets the variable for the lane with the oldest jax, so both ways are tested.
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True)
def _strict_and_clean(request: pytest.FixtureRequest):
    """Promotion is strict inside a test, and the process-wide settings are the same after it.

    What draws without a seed of its own draws from one by the test's name, so that a test sees the
    same numbers alone, beside others and on any worker.
    """
    before = dict(vars(config._settings))
    seed = zlib.crc32(request.node.nodeid.encode())
    config.set_random_seed(seed)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
    vars(config._settings).update(before)


@pytest.fixture
def relaxed():
    """Promotion as users have it, for tests of user code that leans on it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def pytest_configure() -> None:
    """Lets Ctrl-C arrive: a shell starts what runs in its background with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the checks of a row of the table of layers together: they share what is costly."""
    places = [i for i, item in enumerate(items) if item.path.name == "test_table.py"]
    rows = {name: i for i, name in reversed([*enumerate(_row(items[i]) for i in places)])}
    for place, item in zip(places, sorted((items[i] for i in places), key=lambda x: rows[_row(x)])):
        items[place] = item


def _row(item: pytest.Item) -> str:
    return item.name.partition("[")[2]
