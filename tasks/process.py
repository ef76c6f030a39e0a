"""What the process of a run is to be like: small, and keeping its secrets to itself."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # from malloc.h
LARGE_BYTES = 128 * 1024


def prepare() -> None:
    """For a process that runs the flow: one arena, no core dump, and files that only its user can read."""
    _return_memory()
    # A core dump would hold every key of the moment.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # A result record names its own serializer: who can write the result storage can run code.
    os.umask(0o077)


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


def _return_memory() -> None:
    """Let all threads allocate from one arena, and give what is large back at once.

    glibc would give each thread its own, 6 MiB for 100 certificates, and Python's lock leaves nothing to win
    by several; and it would learn to keep what is large, between what stays. Another C library is left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """What is free in between, too, to the system: what many threads leave behind is scattered."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
