"""Reads one Secret of OPS that has changed, side by side with its Certificate: one round trip.

The Secret is returned with its data: the caller writes what was checked, and does not read it again.
"""

from concurrent.futures import Executor
from datetime import datetime
from typing import Any, NamedTuple

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, CopyRequest, SecretRef, SourceEntry
from tasks.kube.client import ClusterClient
from tasks.kube.responses import metadata_of
from tasks.source.checks import Policy, check_secret
from tasks.source.known_certificates import KnownCertificates
from tasks.source.read import is_rejected, is_selected
from tasks.source.statuses import (
    CertificateStatuses,
    apply_status,
    empty_statuses,
    get_statuses,
    read_statuses,
)
from tasks.source.tls_secret import CERTIFICATE_NAME

LIST_AGE = 60.0
"""Seconds for which a list of Certificates tells that a Secret has none."""


class Changed(NamedTuple):
    """What OPS has under a name."""

    entry: SourceEntry | None
    secret: dict[str, Any] | None = None
    """The Secret with its key, only if it is fit to be sent."""
    requests: tuple[CopyRequest, ...] | None = None
    """What its Certificates ask for; None if that was not read."""


def read_changed(  # noqa: PLR0913, PLR0917  what to read, and what helps
    client: ClusterClient,
    source: Source,
    name: str,
    now: datetime,
    known: KnownCertificates,
    executor: Executor,
    *,
    with_requests: bool = False,
) -> Changed:
    """Return what OPS has under this name.

    The Certificate may be older than the Secret by the time of one request. If it says that the Secret is
    wrong, the caller looks again. Raises ClusterError.
    """
    ref = SecretRef(namespace=source.namespace, name=name)
    certificate = executor.submit(_statuses, client, source, name, known, with_requests)
    secret = client.tls_secret(ref)
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found = check_secret(ref, secret, policy) if secret and is_selected(secret, source) else None
    statuses = certificate.result()  # after the checks, which take a part of the time of its request
    if is_rejected(found):
        return Changed(found, requests=_requests(statuses, name))
    if statuses is None or (name not in statuses.by_secret and _is_by_cert_manager(secret)):
        statuses = read_statuses(client, source, known, with_requests=with_requests)
    entry = apply_status(name, found, statuses, source, now)
    fit = secret if isinstance(entry, Certificate) else None
    return Changed(entry, fit, _requests(statuses, name))


def _requests(statuses: CertificateStatuses | None, name: str) -> tuple[CopyRequest, ...] | None:
    if statuses is None or statuses.is_unread:
        return None
    return tuple(one for one in statuses.requests.found() if one.secret == name)


def _statuses(
    client: ClusterClient, source: Source, name: str, known: KnownCertificates, with_requests: bool
) -> CertificateStatuses | None:
    """What the known Certificates of this Secret say; None if they must be listed after the Secret."""
    names = known.of(name)
    if not names and known.is_current(LIST_AGE):
        return empty_statuses()
    if not names or not known.may_get:
        return read_statuses(client, source, known, with_requests=with_requests)
    try:
        statuses = get_statuses(client, source, sorted(names), with_requests=with_requests)
    except ClusterError as error:
        known.may_get = error.failure.code is not FailureCode.FORBIDDEN
        return None
    return statuses if name in statuses.by_secret else None


def _is_by_cert_manager(secret: dict[str, Any] | None) -> bool:
    annotations = metadata_of(secret).get("annotations")
    return isinstance(annotations, dict) and CERTIFICATE_NAME in annotations
