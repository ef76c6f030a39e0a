"""What a process is made ready for: imports that nobody looks through, and a collector that works again."""

import gc
from collections.abc import Iterator

import pytest

from tasks.process import importing


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_imported_is_never_looked_through_by_the_garbage_collector() -> None:
    """Not meanwhile, and not later; and what comes after it is collected as ever."""
    with importing():
        assert not gc.isenabled()
        imported = [object()]
    assert gc.isenabled()
    assert not any(one is imported for one in gc.get_objects())
    later = [object()]
    assert any(one is later for one in gc.get_objects())


def test_an_import_that_fails_leaves_the_garbage_collector_at_work() -> None:
    """Else the memory of what goes on would grow."""
    with pytest.raises(ModuleNotFoundError), importing():
        raise ModuleNotFoundError
    assert gc.isenabled()
