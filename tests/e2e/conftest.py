import os
from collections.abc import Iterator

import pytest

from deployments.sandbox.errors import SandboxError
from tests.e2e import machine as machines
from tests.e2e.machine import Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """One for all tests. A missing part fails on CI, elsewhere it skips with the command that installs it."""
    context = machines.running()
    try:
        found = context.__enter__()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no real node can be had: {error}")
    try:
        yield found
    finally:
        context.__exit__(None, None, None)
