"""Reads what cert-manager's Certificates say of their Secrets: all of them, or some by their names."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, ListedSecret, Rejection, SecretRef, SourceEntry
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.kube.responses import MALFORMED, name_of
from tasks.kubeconfig.reader import MAX_CONNECTIONS
from tasks.source.issuance import (
    CertificateStatus,
    add_status,
    issuance_of,
    renewal_of,
    resource_of,
    with_status,
)
from tasks.source.known_certificates import KnownCertificates, Listing
from tasks.source.requests import Requests

# cert-manager's reasons (pkg/util/pki, policies/constants.go): the Secret does not match its Certificate.
WRONG_SECRET = frozenset(
    {"InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"}
)
REASON = re.compile(r"[A-Za-z]{1,64}")


class CertificateStatuses(NamedTuple):
    """What cert-manager's Certificates say, by the name of the Secret."""

    not_ready: dict[str, str]
    """The reason why a Certificate is not ready."""
    by_secret: dict[str, CertificateStatus]
    warnings: list[str]
    requests: Requests
    """What they ask for."""
    is_unread: bool = False
    """Whether they could not be read."""


def empty_statuses() -> CertificateStatuses:
    return CertificateStatuses({}, {}, [], Requests())


def read_statuses(
    client: ClusterClient,
    source: Source,
    known: KnownCertificates | None = None,
    *,
    with_requests: bool = False,
) -> CertificateStatuses:
    """Read the Certificates. If they are not readable, warn and rely on the Secrets alone.

    What they ask for is read only `with_requests`, where somebody may ask.
    Raises ClusterError if OPS can't be reached or the deadline has passed.
    """
    statuses, listing = empty_statuses(), Listing()
    try:
        for page in client.certificates(source.namespace):
            for certificate in page:
                add_certificate(statuses, certificate, source, with_requests=with_requests)
                if known:
                    listing.add(certificate)
    except ClusterError as error:
        code = error.failure.code
        if code in (
            FailureCode.UNREACHABLE,
            FailureCode.CONNECTION_LOST,
            FailureCode.TIMEOUT,
            FailureCode.DEADLINE,
        ):
            raise
        texts = {
            FailureCode.API_MISSING: "unknown to OPS",
            FailureCode.FORBIDDEN: "unreadable (no right to list them)",
        }
        why = texts.get(code, f"unreadable ({code})")
        if known:
            known.replace(Listing())
        text = f"cert-manager's Certificates are {why}; the Secrets alone decide"
        return CertificateStatuses({}, {}, [text], Requests(), is_unread=True)
    if known:
        known.replace(listing)
    return statuses


def get_statuses(
    client: ClusterClient, source: Source, names: Sequence[str], *, with_requests: bool = False
) -> CertificateStatuses:
    """Get these Certificates side by side. Raises ClusterError if one of them can't be read, or is gone."""

    def get(name: str) -> dict[str, Any]:
        return client.certificate(SecretRef(namespace=source.namespace, name=name))

    statuses = empty_statuses()
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        for certificate in (pool.map if len(names) > 1 else map)(get, names):  # one needs no thread
            add_certificate(statuses, certificate, source, with_requests=with_requests)
    return statuses


def add_certificate(
    statuses: CertificateStatuses, certificate: Any, source: Source, *, with_requests: bool = False
) -> None:
    """Add what one Certificate says. If several write one Secret, the worst counts.

    A malformed Certificate becomes a warning with its name.
    """
    try:
        reasons = _reason_of(certificate)
    except MALFORMED:
        name = name_of(certificate) or "one without a name"
        statuses.warnings.append(
            f"cert-manager's Certificate can't be read ({name}); its Secret alone decides"
        )
        return
    for name, reason in reasons.items():
        if statuses.not_ready.get(name) not in WRONG_SECRET:
            statuses.not_ready[name] = reason
    add_status(statuses.by_secret, certificate, source.selector)
    if with_requests:
        statuses.requests.add(certificate)


def _reason_of(certificate: dict[str, Any]) -> dict[str, str]:
    """Map the name of its Secret to the reason why it is not ready; empty if it is ready.

    Raises one of MALFORMED if it is not a Certificate.
    """
    name = (certificate.get("spec") or {}).get("secretName") or ""
    if not isinstance(name, str):
        raise TypeError("not the name of a Secret")
    for condition in (certificate.get("status") or {}).get("conditions") or []:
        if name and condition.get("type") == "Ready" and condition.get("status") == "False":
            reason = str(condition.get("reason"))
            return {name: reason if REASON.fullmatch(reason) else "unknown reason"}
    return {}


def apply_status(
    name: str,
    one: Certificate | Rejection | ListedSecret | None,
    statuses: CertificateStatuses,
    source: Source,
    now: datetime,
) -> SourceEntry | None:
    """Reject a Secret that does not match its Certificate; else add its renewal or pending issuance."""
    reason, status = statuses.not_ready.get(name), statuses.by_secret.get(name)
    ref = SecretRef(namespace=source.namespace, name=name)
    if isinstance(one, Certificate | ListedSecret) and reason in WRONG_SECRET:
        return Rejection(ref=ref, reason=Reason.NOT_READY, detail=reason)
    if status is None:
        return one
    resource = resource_of(status) if source.events else None
    if isinstance(one, ListedSecret):
        return replace(with_status(one, status), resource=resource)
    if isinstance(one, Certificate):
        return one.model_copy(update={"renewal": renewal_of(one.version, status), "resource": resource})
    return issuance_of(ref, one, status, now) or one
