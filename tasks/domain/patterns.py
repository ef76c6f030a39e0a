"""Finds those of many names and globs that overlap a name or a glob, without a comparison with each. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

from tasks.domain.names import is_glob, overlap

FEW = 8
"""So few patterns are compared one by one, which is faster."""


class PatternIndex:
    """Names and globs, each once.

    A look-up compares few of them, unless many have compatible beginnings and ends and differ only between
    two `*`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        distinct = set(patterns)
        globs = [one for one in distinct if is_glob(one)]
        self._names = distinct.difference(globs)
        # A glob that begins with `*` fits the beginning of every name, one that ends with it every end: kept
        # apart, the former are found by their ends, and the latter by their beginnings.
        headless = [one for one in globs if one.startswith("*")]
        headed = [one for one in globs if not one.startswith("*")]
        self._globs = [_ByEnds(group) for group in (headed, headless) if group]

    @cached_property
    def _names_by_ends(self) -> "_ByEnds":
        """Made only where globs are looked up."""
        return _ByEnds(tuple(self._names))

    def overlapping(self, pattern: str) -> list[str]:
        """Return the names and globs that overlap this name or glob, in any order."""
        found = [pattern] if pattern in self._names else []
        groups = [self._names_by_ends, *self._globs] if is_glob(pattern) else self._globs
        return found + [one for group in groups for one in group.candidates(pattern) if overlap(one, pattern)]


class _ByEnds:
    """Patterns, found by what is before the first `*`, or by what is after the last one."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns

    @cached_property
    def _sorted(self) -> tuple["_Sorted", "_Sorted"]:
        return _Sorted((_head(one), one) for one in self._patterns), _Sorted(
            (_tail(one), one) for one in self._patterns
        )

    def candidates(self, pattern: str) -> Sequence[str]:
        """Return a part of the patterns, with all that overlap this one: by one of both ends."""
        if len(self._patterns) <= FEW:
            return self._patterns
        by_head, by_tail = self._sorted
        heads, tails = by_head.compatible(_head(pattern)), by_tail.compatible(_tail(pattern))
        return by_head.at(heads) if _size(heads) <= _size(tails) else by_tail.at(tails)


class _Sorted:
    """Patterns in the order of one of their ends."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        pairs = sorted(pairs)
        self._ends, self._patterns = [end for end, _ in pairs], [pattern for _, pattern in pairs]
        self._lengths = sorted({len(end) for end in self._ends})

    def compatible(self, end: str) -> list[range]:
        """Return where the patterns are whose end begins with this one, or is a beginning of it."""
        first = bisect_left(self._ends, end)
        longer = range(first, bisect_right(self._ends, end, lo=first, key=lambda one: one[: len(end)]))
        shorter = [end[:length] for length in self._lengths if length < len(end)]
        return [
            longer,
            *(range(bisect_left(self._ends, one), bisect_right(self._ends, one)) for one in shorter),
        ]

    def at(self, spans: Iterable[range]) -> list[str]:
        return [self._patterns[position] for span in spans for position in span]


def _size(spans: Iterable[range]) -> int:
    return sum(map(len, spans))


def _head(pattern: str) -> str:
    return pattern.partition("*")[0]


def _tail(pattern: str) -> str:
    """What is after the last `*`, in reverse, so that equal ends are equal beginnings."""
    return pattern.rpartition("*")[2][::-1]
