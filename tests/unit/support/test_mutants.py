"""The mutants that are made by hand: what each changes is there to be changed."""

import pytest

from tests.mutation.by_hand import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_finds_what_it_changes(mutant: Mutant) -> None:
    """Code that moves takes its mutants along, or they would prove nothing."""
    text = (ROOT / "tasks" / f"{mutant.module}.py").read_text()
    assert text.count(mutant.original) == 1
    assert mutant.instead not in ("", mutant.original)
