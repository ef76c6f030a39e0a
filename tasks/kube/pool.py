"""Clients of clusters. Made for one task and closed after it; kept warm where a process lives long."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tasks.config.schema import Cluster, Source
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import connect, identity

IDLE_SECONDS = 300.0
"""A connection that nobody used for so long is made anew, with what the kubeconfig has by then."""

MARGIN = timedelta(minutes=2)
"""A credential that ends sooner is not relied upon."""


class _Idle(NamedTuple):
    client: ClusterClient
    key: tuple[object, ...]
    since: float


_idle: list[_Idle] = []
_lock = threading.Lock()
_keeps = False


@contextmanager
def kept() -> Iterator[None]:
    """Meanwhile, in this process, a client that served a task well serves the next one, too."""
    global _keeps  # noqa: PLW0603  one process, one way
    _keeps = True
    try:
        yield
    finally:
        _keeps = False
        with _lock:
            left = _idle.copy()
            _idle.clear()
        for one in left:
            one.client.close()


@contextmanager
def client_of_target(cluster: Cluster, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a moment of time.monotonic()."""
    with _client(cluster.name, cluster.context, deadline, allow_exec=cluster.allow_exec) as client:
        yield client


@contextmanager
def client_of_source(source: Source, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a moment of time.monotonic()."""
    with _client(source.label, source.context, deadline, allow_exec=source.allow_exec) as client:
        yield client


@contextmanager
def _client(name: str, context: str | None, deadline: float, *, allow_exec: bool) -> Iterator[ClusterClient]:
    key = (name, context, allow_exec, identity())
    client = _taken(key, deadline) if _keeps else None
    if client is None:
        client = ClusterClient(name, connect(name, context, allow_exec=allow_exec), deadline)
    try:
        yield client
    except BaseException:  # whatever it was, the next task starts afresh
        client.close()
        raise
    if _keeps:
        with _lock:
            _idle.append(_Idle(client, key, time.monotonic()))
    else:
        client.close()


def _taken(key: tuple[object, ...], deadline: float) -> ClusterClient | None:
    """An idle client of this key, and no other that is older than it should be."""
    now = time.monotonic()
    with _lock:
        old = [one for one in _idle if now - one.since > IDLE_SECONDS or _is_over(one, key)]
        fitting = [one for one in _idle if one.key == key and one not in old]
        taken = fitting[-1] if fitting else None
        for one in [*old, *([taken] if taken else [])]:
            _idle.remove(one)
    for one in old:
        one.client.close()
    if taken is None:
        return None
    taken.client.until(deadline)
    return taken.client


def _is_over(idle: _Idle, asked: tuple[object, ...]) -> bool:
    """Whether the kubeconfig, or the entry, is another one by now, or the credential about to end."""
    ends = idle.client.credential_ends
    ending = ends is not None and ends - datetime.now(UTC) < MARGIN
    return ending or (idle.key[0] == asked[0] and idle.key != asked)
