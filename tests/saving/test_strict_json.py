"""JSON that is not accepted."""

from __future__ import annotations

import pytest

from kgraph.errors import ConfigError
from kgraph.saving.files import strict_json

REFUSED = {
    "a key twice": (b'{"a": 1, "a": 2}', "twice"),
    "NaN": (b"[NaN]", "no JSON number"),
    "infinity": (b"[-Infinity]", "no JSON number"),
    "a float too large": (b"[1e999]", "too large"),
    "a number too large": (b"[" + b"9" * 5000 + b"]", "too large"),
    "not UTF-8": (b'["\xff"]', "utf-8"),
    "UTF-16": ("[1]".encode("utf-16"), "utf-8"),
    "a byte order mark": (b"\xef\xbb\xbf[]", "BOM"),
    "nested deeply": (b"[" * 200 + b"]" * 200, "deeper"),
    "nested very deeply": (b"[" * 200_000 + b"]" * 200_000, "deeper"),
    "more than one value": (b"[] []", "Extra data"),
    "nothing": (b"", "Expecting value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_reason(name):
    data, reason = REFUSED[name]
    with pytest.raises(ValueError, match=reason):
        strict_json.decode(data)


def test_at_the_limits_it_is_accepted():
    depth = strict_json.MAX_DEPTH
    assert strict_json.decode(b"[" * depth + b"]" * depth)
    with pytest.raises(ValueError, match="deeper"):
        strict_json.decode(b"[" * (depth + 1) + b"]" * (depth + 1))
    for whole in (2**53 - 1, 1 - 2**53):
        assert strict_json.decode(str(whole).encode()) == whole
    for whole in (2**53, -(2**53)):
        with pytest.raises(ValueError, match="too large"):
            strict_json.decode(str(whole).encode())


def test_size_is_limited(monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_BYTES", 4)
    assert strict_json.decode(b"[11]") == [11]
    with pytest.raises(ValueError, match="more than 4 bytes"):
        strict_json.decode(b"[111]")


def test_the_number_of_values_is_limited(monkeypatch):
    """64 MiB of empty lists would take 2 GB."""
    monkeypatch.setattr(strict_json, "MAX_VALUES", 4)
    assert strict_json.decode(b"[[],[]]") == [[], []]
    with pytest.raises(ValueError, match="more than 4 values"):
        strict_json.decode(b"[[],[],[]]")


def test_what_would_be_refused_is_not_written():
    with pytest.raises(ConfigError, match="The seed cannot be written to a file"):
        strict_json.encode({"seed": 2**70}, "The seed")
