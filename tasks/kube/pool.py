"""Clients of clusters: made for one task and closed after it, or reused in a process that lives long."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tasks.config.schema import Cluster, Source
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect, file_version

IDLE_SECONDS = 300.0
"""Maximum seconds that an idle client is kept. Its successor reads the kubeconfig again."""
MIN_VALIDITY = timedelta(minutes=2)
"""A client whose credential expires sooner is not reused."""


class _Idle(NamedTuple):
    client: ClusterClient
    key: tuple[object, ...]
    since: float


_idle: list[_Idle] = []
_lock = threading.Lock()
_reuse = False


@contextmanager
def reuse_clients() -> Iterator[None]:
    """Inside the block, this process reuses the client of a task that raised nothing for later tasks."""
    global _reuse  # noqa: PLW0603  it holds for the whole process
    _reuse = True
    try:
        yield
    finally:
        _reuse = False
        with _lock:
            idle = _idle.copy()
            _idle.clear()
        for one in idle:
            one.client.close()


@contextmanager
def client_of_target(cluster: Cluster, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a time.monotonic() value."""
    with _client(cluster.name, cluster.context, deadline, allow_exec=cluster.allow_exec) as client:
        yield client


@contextmanager
def client_of_source(source: Source, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a time.monotonic() value."""
    with _client(source.label, source.context, deadline, allow_exec=source.allow_exec) as client:
        yield client


@contextmanager
def _client(name: str, context: str | None, deadline: float, *, allow_exec: bool) -> Iterator[ClusterClient]:
    key = (name, context, allow_exec, file_version())
    client = _take_idle(key, deadline) if _reuse else None
    if client is None:
        client = ClusterClient(name, connect(name, context, allow_exec=allow_exec), deadline)
    try:
        yield client
    except BaseException:  # after any error, the next task gets a new client
        client.close()
        raise
    if _reuse:
        with _lock:
            _idle.append(_Idle(client, key, time.monotonic()))
    else:
        client.close()


def _take_idle(key: tuple[object, ...], deadline: float) -> ClusterClient | None:
    """Remove and return an idle client with this key, if there is one. Close all clients that are stale."""
    now = time.monotonic()
    with _lock:
        stale = [one for one in _idle if now - one.since > IDLE_SECONDS or _is_stale(one, key)]
        usable = [one for one in _idle if one.key == key and one not in stale]
        taken = usable[-1] if usable else None
        for one in [*stale, *([taken] if taken else [])]:
            _idle.remove(one)
    for one in stale:
        one.client.close()
    if taken is None:
        return None
    taken.client.set_deadline(deadline)
    return taken.client


def _is_stale(idle: _Idle, key: tuple[object, ...]) -> bool:
    """Return whether the credential expires soon, or the kubeconfig or the cluster's entry has changed."""
    expires_at = idle.client.credential_expires_at
    expiring = expires_at is not None and expires_at - datetime.now(UTC) < MIN_VALIDITY
    return expiring or (idle.key[0] == key[0] and idle.key != key)
