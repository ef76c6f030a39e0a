"""Reads a file whole, if it is one, and no larger than it may be."""

from pathlib import Path


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
