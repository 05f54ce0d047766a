"""clear_session lets go of all that models have left behind."""

import collections
import gc
import os
import subprocess
import sys

import numpy as np
import pytest

import kgraph
from kgraph import layers

X = np.linspace(0, 1, 64 * 4, dtype=np.float32).reshape(64, 4)


def use(units: int) -> None:
    """Builds, trains and drops a model that nothing else has."""
    model = kgraph.Sequential([kgraph.Input((4,)), layers.Dense(units), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    model.predict(X, verbose=0)
    model(X[:3])
    del model
    kgraph.utils.clear_session()


def alive() -> collections.Counter[str]:
    """Counts objects of kgraph's classes, and what JAX keeps of traces."""
    gc.collect()
    names = [f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.get_objects()]
    kept = ("kgraph.", "jax._src.core.Jaxpr", "jax._src.core.ClosedJaxpr")
    return collections.Counter(name for name in names if name.startswith(kept))


def test_nothing_of_a_dropped_model_stays() -> None:
    use(20)  # what is made once for the process
    before = alive()
    for units in (21, 22):
        use(units)
    grown = alive() - before
    assert not grown


def test_a_model_works_on_after_clear_session() -> None:
    model = kgraph.Sequential([kgraph.Input((4,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    before = model.predict(X, verbose=0)
    kgraph.utils.clear_session()
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    np.testing.assert_allclose(model(X), before, rtol=1e-6)
    model.fit(X, X[:, :2], verbose=0)
    assert [entry.function for entry in model.compile_report()].count("train") == 1


_SEARCH = """
import os, numpy as np, kgraph
from kgraph import layers
x = np.zeros((64, 20), "float32")
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def use(units):
    model = kgraph.Sequential([kgraph.Input((20,)), layers.Dense(units), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], verbose=0)
    del model
    kgraph.utils.clear_session()
    return resident()
before = [use(16 + n) for n in range(8)][-1]
print([use(40 + n) for n in range(20)][-1] - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_search_over_models_keeps_its_memory() -> None:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", _SEARCH], env=environment, timeout=300, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    # 30 MB for 100 models; without clear_session 20 of them leave 40 MB.
    assert float(found.stdout) < 8
