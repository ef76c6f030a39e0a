"""How many requests tls-sync made to the API servers, by their audit logs."""

import json
import time
from collections.abc import Iterator

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.world.oracle import ACCOUNT

AUDIT_SECONDS = 1.0
"""Seconds until an audit log has the last request that was answered."""


def count(sandbox: Sandbox) -> int:
    """All so far, with those that were answered just now."""
    time.sleep(AUDIT_SECONDS)
    return sum(_is_ours(line) for name in sandbox.names for line in _audit(sandbox, name))


def _audit(sandbox: Sandbox, cluster: str) -> Iterator[bytes]:
    """A log that grows beyond 100 MB gets a second file."""
    for file in sorted((sandbox.directory / cluster).glob("audit*.log")):
        with file.open("rb") as lines:
            yield from lines


def _is_ours(line: bytes) -> bool:
    # Most lines are of the harness itself: parsing them all would take longer than some runs.
    if ACCOUNT.encode() not in line or not line.endswith(b"\n"):  # without its end, it is still being written
        return False
    return bool(json.loads(line)["user"].get("username") == ACCOUNT)
