"""The order of the table: all checks of a row one after the other, as they share what is costly."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [i for i, item in enumerate(items) if item.path.name == "test_table.py"]
    rows = {name: i for i, name in reversed([*enumerate(_row(items[i]) for i in places)])}
    for place, item in zip(places, sorted((items[i] for i in places), key=lambda x: rows[_row(x)])):
        items[place] = item


def _row(item: pytest.Item) -> str:
    return item.name.partition("[")[2]
