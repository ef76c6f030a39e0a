"""What the process of a run is to be like: small, and keeping its secrets to itself."""

import ctypes
import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

M_ARENA_MAX = -8  # from malloc.h


def prepare() -> None:
    """For a process that runs the flow: one arena, no core dump, and files that only its user can read."""
    _share_one_arena()
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


def _share_one_arena() -> None:
    """Let all threads allocate from one arena: glibc would give each its own, 6 MiB for 100 certificates.

    Python's lock leaves nothing to win by several. Does nothing where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
