"""What a process imports: at once, without what nobody uses, or where it is used first."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


@contextmanager
def importing() -> Iterator[None]:
    """Around imports that take a second: the garbage collector would look through it all again and again.

    Nor does it later: what is there at the end stays until the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Meanwhile these are empty, unless they are there already; who imports one later gets it whole.

    For a package that imports parts of itself that nobody here uses.
    """
    empty = {name: ModuleType(name) for name in modules if name not in sys.modules}
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in empty:
            del sys.modules[name]


@contextmanager
def later(*modules: str) -> Iterator[None]:
    """What is imported of these meanwhile is loaded where something of it is used first, if ever."""
    finder = _Later(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Later:
    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self._modules else None
        if spec and spec.loader:
            spec.loader = LazyLoader(spec.loader)
        return spec
