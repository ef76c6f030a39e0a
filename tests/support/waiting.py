"""Tests wait for what is to come, not for a time: a busy machine makes them slower, not red."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0


def until(what: str, holds: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first answer that is true; an error that says what was waited for, otherwise."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except OSError:
            pass  # nobody listens yet
        time.sleep(0.2)
    raise AssertionError(f"waited {patience:g} s in vain: {what}")
