"""Counts what Python executes, for tests of growth: unlike time, it is the same on each machine."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(work: Callable[[], object]) -> int:
    """Return how many lines and calls of Python a call executes in this thread.

    Each turn of a loop counts, also within one line; what C does, such as `in` of a tuple, does not. A first
    call fills caches, and is not counted.
    """
    work()
    count = 0

    def trace(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal count
        count += event in ("line", "call")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
