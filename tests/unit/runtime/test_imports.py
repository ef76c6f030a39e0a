"""How a process imports: nobody looks through it, parts of it are left out, or wait until they are used."""

import gc
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from tasks.runtime.imports import importing, later, without


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


def test_what_is_imported_for_later_is_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and once; another import meanwhile, and one after it, is as ever."""
    for name in ("wsgiref.headers", "wsgiref.util", "wsgiref.validate"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with later("wsgiref.headers", "wsgiref.validate"):
        waiting, other = import_module("wsgiref.headers"), import_module("wsgiref.util")
        with pytest.raises(ModuleNotFoundError):
            import_module("wsgiref.nowhere")
    assert "Headers" not in object.__getattribute__(waiting, "__dict__")
    assert "FileWrapper" in object.__getattribute__(other, "__dict__")
    assert waiting.Headers().items() == []
    assert waiting is import_module("wsgiref.headers")
    assert "validator" in object.__getattribute__(import_module("wsgiref.validate"), "__dict__")
