"""Rounds of a comparison: each runs every party once, and each begins with another party than the last. Pure.

So none is always the first, and what slows the machine down for a while slows all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Party = TypeVar("Party")
Sample = TypeVar("Sample")


def rotated(parties: Sequence[Party], turn: int) -> tuple[Party, ...]:
    """The order of a round, counted from 0."""
    first = turn % len(parties)
    return (*parties[first:], *parties[:first])


def in_rounds(parties: Mapping[Party, Callable[[], Sample]], rounds: int) -> dict[Party, list[Sample]]:
    """Run the parties; return the samples of each by its name, in the order of the rounds."""
    taken: dict[Party, list[Sample]] = {name: [] for name in parties}
    for turn in range(rounds):
        for name in rotated(tuple(parties), turn):
            taken[name].append(parties[name]())
    return taken
