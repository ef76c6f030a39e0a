"""The one temporary directory that a demo or a playground lives in."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox.errors import SandboxError


@contextmanager
def workspace() -> Iterator[Path]:
    """Gone at the end, unless a SandboxError names a log in it."""
    directory = Path(tempfile.mkdtemp(prefix="tls-sync-sandbox-"))
    try:
        yield directory
    except SandboxError:
        raise
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    else:
        shutil.rmtree(directory, ignore_errors=True)
