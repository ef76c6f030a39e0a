"""Tests wait for an event, not for a time: a busy machine makes them slower, and does not fail them."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0


def until(what: str, holds: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the first true result; AssertionError after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except OSError:
            pass  # the server does not listen yet
        time.sleep(0.2)
    raise AssertionError(f"waited {patience:g} s for {what}")


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Return the output up to the line that has the words; AssertionError where it ends before."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))
