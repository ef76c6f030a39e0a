"""Python in a process of its own, for tests of what is imported, and what is not."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(script: str) -> str:
    """What it prints, without the last line's end; it must end well."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
