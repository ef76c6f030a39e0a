"""Reads a file whole, if it is one, and no larger than it may be; and makes a private one for a moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


class FileError(Exception):
    """It can't be read; the message says why and what to do, and never quotes the content."""


def read_file(path: Path, max_bytes: int) -> bytes:
    """Raises FileError; FileMissing where there is none.

    A pipe could keep one waiting for ever, and a device may have no end.
    """
    try:
        if not (path.is_file() or path.is_dir()) and path.exists():
            raise FileError("not a regular file; check the path")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise FileMissing("the file does not exist; check the path") from None
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise FileError(f"the file can't be read ({why}); check path and rights") from None
    if len(content) > max_bytes:
        raise FileError(f"the file is larger than {max_bytes} bytes")
    return content


class FileMissing(FileError):
    """There is no such file."""


@contextmanager
def private_path(content: bytes) -> Iterator[str]:
    """A path at which this process, and no other one, reads this meanwhile. Raises OSError.

    In memory, where the system has files there: nothing is left of it where the process is killed.
    """
    descriptor = _in_memory(content)
    if descriptor is None:
        with NamedTemporaryFile() as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name
        return
    try:
        yield _path_of(descriptor)
    finally:
        os.close(descriptor)


def _in_memory(content: bytes) -> int | None:
    """The descriptor of a file that has no name; None where there can be none, or none that has a path."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("tls-sync")
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        with Path(_path_of(descriptor)).open("rb"):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
