"""Cases of the merging layers."""

from __future__ import annotations

from cases import Case, t

_BOTH = [t("time", 3, mask=True), t("time", 3, mask=True)]
_ONE = [t("time", 3, mask=True), t("time", 3)]
_ELEMENTWISE = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def _rows(name: str) -> list[Case]:
    def make(L):
        return getattr(L, name)()

    return [
        Case(f"{name.lower()}", make, [t("time", 3), t("time", 3)], as_list=True),
        Case(f"{name.lower()} broadcast", make, [t("time", 3), t(1, 3)], as_list=True),
        Case(f"{name.lower()} ranks", make, [t(2, 5, 3), t(3)], as_list=True),
        Case(f"{name.lower()} masks", make, _BOTH, as_list=True),
        Case(f"{name.lower()} one mask", make, _ONE, as_list=True),
    ]


ROWS = [
    *(case for name in _ELEMENTWISE for case in _rows(name)),
    Case("add three", lambda L: L.Add(), [t(3), t(3), t(3)], as_list=True),
    Case(
        "maximum three masks",
        lambda L: L.Maximum(),
        [t("time", 3, mask=True), t("time", 3), t("time", 3, mask=True)],
        as_list=True,
    ),
    Case("concatenate", lambda L: L.Concatenate(), [t("time", 3), t("time", 2)], as_list=True),
    Case("concatenate masks", lambda L: L.Concatenate(), _BOTH, as_list=True),
    Case("concatenate one mask", lambda L: L.Concatenate(), _ONE, as_list=True),
    Case(
        "concatenate steps",
        lambda L: L.Concatenate(axis=1),
        [t("time", 3, mask=True), t("later", 3)],
        as_list=True,
    ),
    Case("concatenate one", lambda L: L.Concatenate(axis=1), [t("time", 3)], as_list=True),
    Case("dot", lambda L: L.Dot(1), [t(3), t(3)], as_list=True),
    Case("dot sequences", lambda L: L.Dot((2, 1)), [t("time", 3), t(3, "more")], as_list=True),
    Case("dot last", lambda L: L.Dot(-1), [t("time", 3), t("more", 3)], as_list=True),
    Case("dot ranks", lambda L: L.Dot((1, 2)), [t(3), t("more", 3)], as_list=True),
    Case("dot cosine", lambda L: L.Dot(-1, normalize=True), [t(3), t(3)], as_list=True),
    Case("dot wide", lambda L: L.Dot((2, 1)), [t("time", 3, 2), t(3, 4, 2)], as_list=True),
]
