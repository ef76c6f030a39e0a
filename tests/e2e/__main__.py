"""Fetches and builds what the tests on a real node need, before pytest hides the progress."""

import sys

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import say
from tests.e2e.machine import prepare

if __name__ == "__main__":
    try:
        prepare(say)
    except SandboxError as error:
        say(f"error: {error}")
        sys.exit(1)
