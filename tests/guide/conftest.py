"""The guide's code is user code: it runs with JAX's promotion as users have it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _as_users_run_it(relaxed):
    """`jnp.matmul(x, w) + b` adds a vector to a matrix, and labels are whole numbers."""
