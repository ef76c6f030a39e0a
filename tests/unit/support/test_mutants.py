"""The mutants that are made by hand: what each changes is there to be changed."""

import pytest

from tests.mutation.__main__ import TESTS
from tests.mutation.by_hand import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_finds_what_it_changes(mutant: Mutant) -> None:
    """Code that moves takes its mutants along, or they would prove nothing."""
    text = (ROOT / "tasks" / f"{mutant.module}.py").read_text()
    assert text.count(mutant.original) == 1
    assert mutant.instead not in ("", mutant.original)


def test_make_mutants_names_modules_and_tests_that_exist() -> None:
    """Every module that `make mutants` changes exists, and so do the test files that must fail for it."""
    named = [f"tasks/{module}.py" for module in TESTS] + [
        file for files in TESTS.values() for file in files.split()
    ]
    assert [file for file in named if not (ROOT / file).is_file()] == []
