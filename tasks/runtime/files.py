"""Reads whole regular files up to a maximum size, and makes temporary private files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


class FileError(Exception):
    """The file can't be read. The message says why and what to do, and never quotes the content."""


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file. Raises FileError; FileMissing if there is none.

    Reading a pipe may block for ever, and a device may have no end.
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
        raise FileError(f"the file can't be read ({why}); check path and permissions") from None
    if len(content) > max_bytes:
        raise FileError(f"the file is larger than {max_bytes} bytes")
    return content


class FileMissing(FileError):
    """There is no such file."""


@contextmanager
def private_path(content: bytes) -> Iterator[str]:
    """Inside the block, the content is readable at the path, by this user only. Raises OSError.

    The file is in memory if the system supports that, so that nothing remains if the process is killed.
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
    """Return the descriptor of a memory file; None if the system has none, or no path to it (/proc)."""
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
