"""A server and a cache folder of its own for each test."""

from __future__ import annotations

import pytest
from serving import serving


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder, empty; a proxy in the environment would hide the server."""
    monkeypatch.setenv("KGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home" / "datasets"
