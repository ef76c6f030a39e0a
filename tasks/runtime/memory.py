"""How much memory this process may use."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
FILES = ("memory.max", "memory/memory.limit_in_bytes")
"""Where a container sees the limit of its control group: version 2, then version 1."""
UNLIMITED = 1 << 60
"""Version 1 says a number beyond this one where there is no limit."""


def memory_limit() -> int | None:
    """Return the limit of the container in bytes; None where it has none, or does not say."""
    for name in FILES:
        try:
            text = (CGROUP / name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isascii() and text.isdigit() and int(text) < UNLIMITED:
            return int(text)
    return None
