"""The garbage collector and imports."""

import gc
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from tasks.runtime.imports import importing, without


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_imported_is_never_looked_through_by_the_garbage_collector() -> None:
    """What is made after the imports is collected as usual."""
    with importing():
        assert not gc.isenabled()
        imported = [object()]
    assert gc.isenabled()
    assert not any(one is imported for one in gc.get_objects())
    later = [object()]
    assert any(one is later for one in gc.get_objects())


def test_an_import_that_fails_leaves_the_garbage_collector_at_work() -> None:
    """A process that goes on after a failed import keeps collecting garbage."""
    with pytest.raises(ModuleNotFoundError), importing():
        raise ModuleNotFoundError
    assert gc.isenabled()


def test_a_part_that_nobody_uses_is_left_out_and_comes_whole_to_who_asks_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is there already stays as it is."""
    part, there = "wsgiref.headers", sys.modules["gc"]
    monkeypatch.delitem(sys.modules, part, raising=False)
    with without(part, "gc"):
        assert not hasattr(import_module(part), "Headers")
        assert import_module("gc") is there
    assert hasattr(import_module(part), "Headers")
    assert sys.modules["gc"] is there


def test_an_import_that_fails_leaves_nothing_empty_behind() -> None:
    """Else who asks for the part later would get nothing of it."""
    with pytest.raises(ModuleNotFoundError), without("wsgiref.nowhere"):
        import_module("wsgiref.elsewhere")
    assert "wsgiref.nowhere" not in sys.modules
