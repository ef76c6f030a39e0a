"""Reads OPS and checks every certificate. The Prefect task is collect_certificates.py.

The private keys of one page of the list are in memory only while `_check_page` runs.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from tasks.config.limits import MAX_CERTIFICATES, too_many_secrets
from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Certificate,
    Failure,
    Issuance,
    ListedSecret,
    Rejection,
    SecretRef,
    SourceEntry,
    SourceSnapshot,
)
from tasks.domain.text import join_limited
from tasks.kube.client import ClusterClient
from tasks.kube.identity import identify_ops
from tasks.kube.responses import name_of
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.runtime import shutdown
from tasks.source.checks import Policy, check_secret
from tasks.source.issuance import AWAITING_ISSUANCE
from tasks.source.known_certificates import KnownCertificates
from tasks.source.statuses import CertificateStatuses, apply_status, get_statuses, read_statuses

P = TypeVar("P")
NO_CERTIFICATE = "OPS holds no certificate; nothing is sent"
LIST_FROM_SHARE = 0.25
"""Where at least this share of OPS's Secrets is needed, one list is cheaper than single requests."""


def read_source(
    client: ClusterClient,
    source: Source,
    now: datetime,
    known: KnownCertificates | None = None,
    *,
    with_requests: bool = False,
) -> SourceSnapshot:
    """Read and check what OPS holds. Raises ClusterError if the Secrets can't be read.

    `known` remembers which Certificates there are.
    """
    cluster_id, identity_warnings = identify_ops(client, source, now)
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found = {one.ref.name: one for one in _check_all(client, source, policy)}
    # after the Secrets, so never older than these
    statuses = read_statuses(client, source, known, with_requests=with_requests)
    is_empty = not found
    names = sorted(found.keys() | statuses.by_secret.keys())
    # pop() frees each entry as it is replaced: 10,000 entries are not in memory twice.
    updated = (apply_status(name, found.pop(name, None), statuses, source, now) for name in names)
    entries = [one for one in updated if one]
    empty = (NO_CERTIFICATE,) if is_empty else ()
    warnings = (*empty, *_warnings(statuses, entries), *_warn_of_other_keys(entries), *identity_warnings)
    return _snapshot(client, cluster_id, entries, statuses, warnings)


def list_source(
    client: ClusterClient,
    source: Source,
    now: datetime,
    known: KnownCertificates | None = None,
    *,
    with_requests: bool = False,
) -> SourceSnapshot:
    """List the metadata of what OPS holds; no data, so no key. Raises ClusterError if it can't be listed.

    The names of the Certificates are kept in `known`.
    """
    cluster_id, identity_warnings = identify_ops(client, source, now)
    listed = {one.ref.name: one for one in _list_all(client, source)}
    known = known or KnownCertificates()
    statuses = read_statuses(client, source, known, with_requests=with_requests)
    names = sorted(listed.keys() | statuses.by_secret.keys())
    updated = (apply_status(name, listed.get(name), statuses, source, now) for name in names)
    entries = [_with_certificates(one, known) for one in updated if one]
    empty = () if listed else (NO_CERTIFICATE,)
    warnings = (*empty, *_warnings(statuses, entries), *identity_warnings)
    return _snapshot(client, cluster_id, entries, statuses, warnings)


def _snapshot(
    client: ClusterClient,
    cluster_id: str,
    entries: Iterable[SourceEntry],
    statuses: CertificateStatuses,
    warnings: tuple[str, ...],
) -> SourceSnapshot:
    found = SourceSnapshot(
        requests=statuses.requests.found(),
        requests_unread=statuses.is_unread,
        warnings=warnings,
        cluster_id=cluster_id,
        credential_ends=client.credential_expires_at,
    )
    return found.corrected({one.ref.name: one for one in entries})


def _with_certificates(one: SourceEntry, known: KnownCertificates) -> SourceEntry:
    if not isinstance(one, ListedSecret):
        return one
    return replace(one, certificates=tuple(sorted(known.of(one.ref.name))))


def read_listed(
    client: ClusterClient, source: Source, listed: Sequence[ListedSecret], size: int, now: datetime
) -> dict[str, SourceEntry | None]:
    """Read and check Secrets that were listed, with the status of their Certificates. Raises ClusterError.

    `size` is the number of Secrets on OPS: where many of them are needed, one list is cheaper than single
    requests.
    """
    names = [one.ref.name for one in listed]
    if len(names) < 2 or len(names) < LIST_FROM_SHARE * size:
        found = recheck(client, source, names, now)
        certificates = sorted({name for one in listed for name in one.certificates})
        return _with_statuses(client, source, found, now, certificates)
    wanted = dict.fromkeys(names)
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found = {one.ref.name: one for one in _check_all(client, source, policy, wanted.keys())}
    return _with_statuses(client, source, {**wanted, **found}, now)


def _warn_of_other_keys(entries: Iterable[SourceEntry]) -> list[str]:
    """Return at most one line, with the names of the keys that are not copied."""
    secrets = [
        f"{one.ref.name} ({join_limited(one.kept_keys)})"
        for one in entries
        if isinstance(one, Certificate) and one.kept_keys
    ]
    text = "keys beyond tls.crt, tls.key and ca.crt stay on OPS, but for those that routes name"
    return [f"{text}: {join_limited(secrets)}"] if secrets else []


def _warnings(statuses: CertificateStatuses, entries: Iterable[SourceEntry]) -> list[str]:
    """Warn of Certificates that are not ready, except where a rejection or an issuance says more."""
    reported = {one.ref.name for one in entries if isinstance(one, Rejection | Issuance)}
    return statuses.warnings + [
        f"{name}: cert-manager says that it is not ready ({reason})"
        for name, reason in sorted(statuses.not_ready.items())
        if name not in reported
    ]


def recheck(
    client: ClusterClient, source: Source, names: Iterable[str], now: datetime
) -> dict[str, Certificate | Rejection | None]:
    """Read and check single Secrets of OPS again; None for one that does not exist. Raises ClusterError."""
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)

    def check(name: str) -> Certificate | Rejection | None:
        ref = SecretRef(namespace=source.namespace, name=name)
        secret = client.tls_secret(ref)
        return check_secret(ref, secret, policy) if secret and is_selected(secret, source) else None

    wanted = tuple(names)
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        return dict(zip(wanted, pool.map(check, wanted), strict=True))


def _with_statuses(
    client: ClusterClient,
    source: Source,
    checked: Mapping[str, Certificate | Rejection | None],
    now: datetime,
    certificates: Sequence[str] | None = None,
) -> dict[str, SourceEntry | None]:
    """Apply what the Certificates say; without their names, all are listed."""
    if all(map(is_rejected, checked.values())):
        return dict(checked)
    statuses = _statuses(client, source, certificates)  # after the Secrets, so never older than these
    return {
        name: one if is_rejected(one) else apply_status(name, one, statuses, source, now)
        for name, one in checked.items()
    }


def _statuses(
    client: ClusterClient, source: Source, certificates: Sequence[str] | None
) -> CertificateStatuses:
    """Get these Certificates, or list all: without names, or if one of them can't be read, or is gone."""
    if certificates is not None:
        with suppress(ClusterError):
            return get_statuses(client, source, certificates)
    return read_statuses(client, source)


def is_selected(secret: dict[str, Any], source: Source) -> bool:
    """Whether a list with the source's selector would have it, which reading it by its name does not ask."""
    metadata = secret.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return not source.selector or (isinstance(labels, dict) and source.selector.items() <= labels.items())


def is_rejected(found: Certificate | Rejection | None) -> bool:
    """Whether it is unfit whatever its Certificate says."""
    return isinstance(found, Rejection) and found.reason not in AWAITING_ISSUANCE


def _check_all(
    client: ClusterClient, source: Source, policy: Policy, wanted: Container[str] | None = None
) -> list[Certificate | Rejection]:
    """Read all Secrets, and check those that are wanted; None means all."""
    found: list[Certificate | Rejection] = []
    for page in _limited(client.tls_secrets(source.namespace, source.selector), source):
        found += _check_page(page, source, policy, wanted)
    return found


def _list_all(client: ClusterClient, source: Source) -> list[ListedSecret]:
    pages = _limited(client.listed_secrets(source.namespace, source.selector), source)
    return [one for page in pages for one in page]


def _limited(pages: Iterable[list[P]], source: Source) -> Iterator[list[P]]:
    listed = 0
    for page in pages:
        listed += len(page)
        if listed > MAX_CERTIFICATES:  # no further page is requested
            raise ClusterError(too_many_secrets(source))
        yield page


def _check_page(
    page: list[dict[str, Any]], source: Source, policy: Policy, wanted: Container[str] | None
) -> list[Certificate | Rejection]:
    """Check the Secrets of one page. Raises ClusterError on a stop request: one Secret may take a second."""
    found = []
    for secret in page:
        if shutdown.current().requested.is_set():
            operation = f"check secrets in {source.namespace}"
            raise ClusterError(Failure(code=FailureCode.INTERRUPTED, cluster=source.label, what=operation))
        name = name_of(secret)
        if name and (wanted is None or name in wanted):
            found.append(check_secret(SecretRef(namespace=source.namespace, name=name), secret, policy))
    return found
