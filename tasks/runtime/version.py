"""The version of tls-sync that this process runs: that of pyproject.toml, which is in the image, too."""

import tomllib
from functools import cache
from pathlib import Path

FILE = Path(__file__).parents[2] / "pyproject.toml"
UNKNOWN = "unknown"


@cache
def version() -> str:
    """Return the version; UNKNOWN where the code was copied without the file, or the file is broken."""
    try:
        return str(tomllib.loads(FILE.read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return UNKNOWN
