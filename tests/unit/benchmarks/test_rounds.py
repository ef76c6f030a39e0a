"""The rounds in which the benchmarks compare."""

from functools import partial

import pytest

from tests.benchmarks.rounds import in_rounds, rotated


def test_no_party_is_always_the_first() -> None:
    """In as many rounds as there are parties, each is once in each place."""
    rounds = [rotated("abc", turn) for turn in range(3)]
    assert rounds == [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]
    assert rotated("abc", 3) == rounds[0]


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_each_round_runs_every_party_once(rounds: int) -> None:
    """Samples are in the order of the rounds, whatever the order in each was."""
    ran: list[str] = []

    def run(party: str) -> int:
        ran.append(party)
        return ran.count(party)

    taken = in_rounds({party: partial(run, party) for party in ("ours", "other")}, rounds)
    assert taken == {party: [*range(1, rounds + 1)] for party in ("ours", "other")}
    assert [{*ran[at : at + 2]} for at in range(0, len(ran), 2)] == [{"ours", "other"}] * rounds
