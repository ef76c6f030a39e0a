"""Indexes of patterns find what a comparison with each pattern finds."""

import pickle
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.names import DNS_NAME, HostnamePatterns, overlap
from tasks.domain.patterns import PatternIndex
from tests.support.factories import law

SHORT = ["".join(letters) for length in range(4) for letters in product("ab*", repeat=length)]
PATTERNS = st.text(alphabet="ab*", max_size=6)
HOSTNAMES = st.lists(st.sampled_from(["*", "a", "b", "dev", "org"]), min_size=1, max_size=4).map(".".join)


def overlapping(patterns: list[str], one: str) -> list[str]:
    return sorted(pattern for pattern in set(patterns) if overlap(pattern, one))


def test_index_of_all_short_patterns_finds_each_of_them() -> None:
    """Among all patterns of up to three characters, each finds exactly those that it overlaps."""
    index = PatternIndex(SHORT)
    for one in SHORT:
        assert sorted(index.overlapping(one)) == overlapping(SHORT, one)


@law
@given(patterns=st.lists(PATTERNS, max_size=40), one=PATTERNS)
def test_index_agrees_with_a_comparison_with_each(patterns: list[str], one: str) -> None:
    """An index finds each pattern that overlaps the given one, once, and no other."""
    assert sorted(PatternIndex(patterns).overlapping(one)) == overlapping(patterns, one)


def test_index_goes_to_another_process() -> None:
    """The snapshot of OPS takes its index of names along to Dask's workers."""
    index = PatternIndex(SHORT)
    assert index.overlapping("*") == pickle.loads(pickle.dumps(index)).overlapping("*")


def allowed(name: str, patterns: list[str]) -> bool:
    labels = name.lower().split(".")
    return DNS_NAME.fullmatch(name.lower()) is not None and any(
        len(labels) == len(pattern.split("."))
        and all(p in ("*", label) for p, label in zip(pattern.split("."), labels, strict=True))
        for pattern in patterns
    )


@law
@given(patterns=st.lists(HOSTNAMES, max_size=10), name=HOSTNAMES | st.text(alphabet="aA.*_ ", max_size=6))
def test_hostnames_agree_with_a_comparison_with_each(patterns: list[str], name: str) -> None:
    """A name is allowed exactly if one of the patterns, each compared label by label, matches it."""
    assert HostnamePatterns(patterns).allow(name) is allowed(name, patterns)
