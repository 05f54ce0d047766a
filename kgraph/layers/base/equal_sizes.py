"""Unknown sizes without a name that a call needs to be one, such as of words and of their mask.

Two inputs of length None may have two lengths, so each length is a size of its own. A call that
fails on that is tried with some of them taken for one: as few as make it work. The graph has one
size for them then, and inputs of two lengths are refused when it runs. What has names is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from kgraph.graph.dims import unnamed_dims
from kgraph.graph.symbol import SymbolicTensor

T = TypeVar("T")

_MOST = 4
"""Of so many sizes each way to take them for one is tried (15 of four); of more, all for one."""

_NOT_OF_SIZES = (NameError, AttributeError, LookupError, ImportError, OSError, ArithmeticError)
"""What no size is at fault for: a call that fails so is not made again."""

_taken: dict[str, str] = {}
"""Sizes that calls have taken for another one so far: what the next call tries first."""


def forget_equal_sizes() -> None:
    """Lets go of the sizes of models that were made before."""
    _taken.clear()


def with_equal_sizes(
    inputs: Sequence[SymbolicTensor], infer: Callable[[Mapping[str, str]], T]
) -> tuple[T, tuple[tuple[str, str], ...]]:
    """Returns what `infer` gives with no sizes taken for one, or with as few as make it work.

    Args:
        inputs: the symbols of a call.
        infer: is given the sizes to be replaced, and what by.

    Returns:
        The result, and the pairs of sizes that are one.

    Raises:
        Exception: what `infer` raises on sizes that are all different.
    """
    try:
        return infer({}), ()
    except Exception as error:
        names = [] if isinstance(error, _NOT_OF_SIZES) else _unnamed(inputs)
        for same in _ways(names) if len(names) > 1 else ():
            try:
                found = infer(same)
            except Exception:
                continue
            _taken.update(same)
            return found, tuple(same.items())
        raise


def with_sizes(symbol: SymbolicTensor, same: Mapping[str, str]) -> SymbolicTensor:
    """Returns a symbol of the same origin with other sizes."""
    return SymbolicTensor.of_call(symbol.spec.renamed(same), symbol.call, symbol.index)


def _unnamed(inputs: Sequence[SymbolicTensor]) -> list[str]:
    specs = [symbol.spec for symbol in inputs]
    specs += [s for s in (m.call.mask_specs[m.index] for m in (x.mask for x in inputs) if m) if s]
    return unnamed_dims([size for spec in specs for size in spec.dims])


def _ways(names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yields what may be taken for one, fewest first, what earlier calls took before."""
    known = {name: _taken[name] for name in names if _taken.get(name) in names}
    if known:
        yield known
    if len(names) > _MOST:
        yield dict.fromkeys(names[1:], names[0])
        return
    ways = ({n: g[0] for g in groups for n in g[1:]} for groups in _groupings(names))
    yield from sorted(filter(None, ways), key=len)


def _groupings(names: Sequence[str]) -> Iterator[list[list[str]]]:
    """Yields each way to put names into groups."""
    if not names:
        yield []
        return
    *before, last = names
    for groups in _groupings(before):
        yield [*groups, [last]]
        for number, group in enumerate(groups):
            yield [*groups[:number], [*group, last], *groups[number + 1 :]]
