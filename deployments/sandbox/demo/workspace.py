"""The temporary directory of a demo or a playground."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox.errors import SandboxError


@contextmanager
def workspace() -> Iterator[Path]:
    """Create a directory and remove it at the end, unless a SandboxError names a log in it."""
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
