"""Keeps the process small."""

import ctypes

M_ARENA_MAX = -8  # from malloc.h


def share_one_arena() -> None:
    """Let all threads allocate from one arena: glibc would give each its own, 6 MiB for 100 certificates.

    Python's lock leaves nothing to win by several. Does nothing where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)
