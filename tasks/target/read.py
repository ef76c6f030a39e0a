"""Reads the Secrets of one target: their metadata and, where that is not enough, their content.

A failure that concerns one namespace or one Secret leaves out that one; a transient failure ends the reading.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.models import Failure, Rejection, SecretRef, TargetSecret
from tasks.domain.names import data_keys
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.plan.observed import ObservedState
from tasks.runtime.silence import without_warnings
from tasks.source.check_failure import CheckFailed, unexpected_as_check_failure
from tasks.source.checks import Policy, check_secret, version_of
from tasks.source.tls_secret import TLSSecret

K = TypeVar("K")
R = TypeVar("R")


def list_namespaces(target: ClusterClient, namespaces: Iterable[str], observed: ObservedState) -> None:
    """List the metadata of the Secrets in these namespaces. Raises ClusterError after a transient failure."""
    for namespace, found in _each(target.target_secrets, namespaces):
        if isinstance(found, Failure):
            observed.failures.append(found)
        else:
            observed.add(namespace, found)


def read_copies(
    target: ClusterClient, refs: Iterable[SecretRef], source: Source, observed: ObservedState
) -> None:
    """Read these Secrets with their content. Raises ClusterError after a transient failure."""

    def read_one(ref: SecretRef) -> TargetSecret | None:
        return read_copy(target, observed.secrets[ref], source)

    for ref, found in _each(read_one, refs):
        if isinstance(found, Failure):
            observed.unreadable.add(ref)
            observed.failures.append(found)
        else:
            observed.update(ref, found)


def _each(read: Callable[[K], R], keys: Iterable[K]) -> Iterator[tuple[K, R | Failure]]:
    """Read these in several threads. Yields a Failure for what can't be read; raises a transient one."""

    def read_one(key: K) -> R | Failure:
        try:
            return read(key)
        except ClusterError as error:
            if error.failure.transient:
                raise
            return error.failure

    keys = tuple(keys)
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        yield from zip(keys, pool.map(read_one, keys), strict=True)


def read_copy(target: ClusterClient, secret: TargetSecret, source: Source) -> TargetSecret | None:
    """The same Secret, with facts of the certificate that it really holds; None where it is gone.

    It passes the checks that OPS's Secrets pass, except those about time: a good copy must not be replaced
    by an older one, an unusable one must be replaced. Raises ClusterError.
    """
    manifest = target.tls_secret(secret.ref)
    if manifest is None:
        return None
    held, unfit, data = None, None, manifest.get("data")
    keys = data_keys(data) if isinstance(data, dict) else frozenset[str]()
    with suppress(CheckFailed), without_warnings, unexpected_as_check_failure():
        held = version_of(TLSSecret(manifest))
    found = check_secret(secret.ref, manifest, Policy(now=None, allow_self_signed=source.allow_self_signed))
    if isinstance(found, Rejection) and found.reason is not Reason.EXAMINATION_FAILED:  # that proves nothing
        unfit = found.reason
    return replace(secret, was_read=True, read=held, keys=keys, unfit=unfit)
