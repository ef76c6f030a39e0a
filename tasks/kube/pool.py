"""Clients of clusters: made for one task and closed after it, or reused in a process that lives long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from tasks.config.discovered import DiscoveredCluster
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.annotations import PIN
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import Access, connect, file_version, parse_own

IDLE_SECONDS = 300.0
"""Maximum seconds that an idle client is kept. Its successor reads the kubeconfig again."""
MIN_VALIDITY = timedelta(minutes=2)
"""A client whose credential expires sooner is not reused."""


class _Reuse(Enum):
    NONE, SOURCE, ALL = range(3)


class _Idle(NamedTuple):
    client: ClusterClient
    key: tuple[object, ...]
    since: float


_idle: list[_Idle] = []
_lock = threading.Lock()
_reuse = _Reuse.NONE


@contextmanager
def reuse_clients(*, of_source_only: bool = False) -> Iterator[None]:
    """Inside the block, this process reuses the client of a task that raised nothing for later tasks.

    With `of_source_only`, that of OPS, which many clusters need in turn.
    """
    global _reuse  # noqa: PLW0603  it holds for the whole process
    _reuse = _Reuse.SOURCE if of_source_only else _Reuse.ALL
    try:
        yield
    finally:
        _reuse = _Reuse.NONE
        with _lock:
            idle = _idle.copy()
            _idle.clear()
        for one in idle:
            one.client.close()


@contextmanager
def client_of_target(config: SyncConfig, cluster: Cluster, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a time.monotonic() value."""
    is_discovered = isinstance(cluster, DiscoveredCluster)
    key = (cluster.name, cluster.context, cluster.allow_exec, config.credentials, is_discovered)
    with _client(key, deadline, lambda: access_of(config, cluster, deadline)) as client:
        client.given_metadata = cluster.metadata_keys
        yield client


@contextmanager
def client_of_source(source: Source, deadline: float) -> Iterator[ClusterClient]:
    """Raises ClusterError. `deadline` is a time.monotonic() value."""
    key = (source.label, source.context, source.allow_exec)

    def access() -> Access:
        return connect(source.label, source.context, allow_exec=source.allow_exec)

    with _client(key, deadline, access, is_source=True) as client:
        yield client


def access_of(config: SyncConfig, cluster: Cluster, deadline: float) -> Access:
    """Read the credential of a target: its context of the kubeconfig, or its Secret on OPS.

    Raises ClusterError, which names this cluster, whichever of the two could not be read.
    """
    if cluster.context is not None or config.credentials is None:
        return connect(cluster.name, cluster.context, allow_exec=cluster.allow_exec)
    ref = config.credentials.secret_of(cluster.name)
    try:
        with client_of_source(config.source, deadline) as ops:
            found = ops.kubeconfig_of(ref)
    except ClusterError as error:
        changes: dict[str, object] = {"cluster": cluster.name}
        if error.failure.code is FailureCode.NOT_FOUND:
            changes |= {"code": FailureCode.KUBECONFIG, "detail": f"{config.source.label} has no such Secret"}
            if isinstance(cluster, DiscoveredCluster):
                changes |= {"code": FailureCode.NO_CREDENTIAL, "detail": commands(cluster.name)}
        raise ClusterError(error.failure.model_copy(update=changes)) from None
    if isinstance(cluster, DiscoveredCluster) and not found.pin:  # before its token is sent anywhere
        raise ClusterError(
            Failure(
                code=FailureCode.NOT_PINNED,
                cluster=cluster.name,
                what=f"get secret {ref}",
                detail=f"it has no annotation {PIN}: `tls-sync rights pin {cluster.name}`",
            )
        )
    access = parse_own(cluster.name, found.content, f"secret {ref}")
    return access._replace(version=found.version, pin=found.pin)


def commands(cluster: str) -> str:
    """Return what gives a discovered cluster its credential and its pin."""
    return f"`tls-sync rights kubeconfig --cluster {cluster}`, then `tls-sync rights pin {cluster}`"


@contextmanager
def _client(
    key: tuple[object, ...], deadline: float, access: Callable[[], Access], *, is_source: bool = False
) -> Iterator[ClusterClient]:
    """Yield an idle client with this key, whose first part is the cluster's name, or a new one."""
    reuse = _reuse is _Reuse.ALL or (is_source and _reuse is _Reuse.SOURCE)
    key = (*key, file_version())
    client = _take_idle(key, deadline) if reuse else None
    if client is None:
        client = ClusterClient(str(key[0]), access(), deadline)
    try:
        yield client
    except BaseException:  # after any error, the next task gets a new client
        client.close()
        raise
    if reuse:
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
