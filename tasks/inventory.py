"""Reads OPS: every certificate, checked, as facts. Plain functions; Prefect's shell is collect.py.

The private keys that the list brings along live in `_examine_page` and are gone when it returns.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tasks import stopping
from tasks.answers import MALFORMED, name_of
from tasks.checks import Policy, examine
from tasks.cluster import ClusterClient
from tasks.config import Source
from tasks.errors import ClusterError
from tasks.identity import identify_ops
from tasks.limits import MOST_CERTIFICATES, too_many_secrets
from tasks.models import Certificate, Failure, Inventory, Rejection, SecretRef
from tasks.reasons import Code, Reason

# cert-manager's reasons (pkg/util/pki, policies/constants.go) that say: this Secret is not the right one.
WRONG_SECRET = frozenset(
    {"InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"}
)
REASON = re.compile(r"[A-Za-z]{1,64}")


def take_inventory(client: ClusterClient, source: Source, now: datetime) -> Inventory:
    """What OPS holds at this moment. Raises ClusterError where the Secrets can't be read."""
    cluster_id, about_us = identify_ops(client, source, now)
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found = _examine_all(client, source, policy)
    conditions, warnings = _not_ready(client, source.namespace)  # after the Secrets: never older than they
    found = [_believe_cert_manager(one, conditions) for one in found]
    found.sort(key=lambda one: one.ref.name)
    rejected = {one.ref.name for one in found if isinstance(one, Rejection)}
    warnings += [
        f"{name}: cert-manager says that it is not ready ({reason})"
        for name, reason in sorted(conditions.items())
        if name not in rejected
    ]
    return Inventory(
        certificates=tuple(one for one in found if isinstance(one, Certificate)),
        rejections=tuple(one for one in found if isinstance(one, Rejection)),
        warnings=tuple(warnings if found else ["OPS holds no certificate; nothing is sent", *warnings])
        + tuple(about_us),
        cluster_id=cluster_id,
        credential_ends=client.credential_ends,
    )


def examine_again(
    client: ClusterClient, source: Source, names: Iterable[str], now: datetime
) -> dict[str, Certificate | Rejection | None]:
    """What OPS holds now under some names, None where it holds nothing. Raises ClusterError."""
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found: dict[str, Certificate | Rejection | None] = {}
    for name in names:
        ref = SecretRef(namespace=source.namespace, name=name)
        secret = client.tls_secret(ref)
        found[name] = examine(ref, secret, policy) if secret else None
    return found


def examine_changed(
    client: ClusterClient, source: Source, name: str, now: datetime
) -> Certificate | Rejection | None:
    """As `examine_again`, and cert-manager is believed, as in an inventory. Raises ClusterError."""
    found = examine_again(client, source, [name], now)[name]
    if not isinstance(found, Certificate):
        return found
    conditions, _ = _not_ready(client, source.namespace)
    return _believe_cert_manager(found, conditions)


def _examine_all(client: ClusterClient, source: Source, policy: Policy) -> list[Certificate | Rejection]:
    found: list[Certificate | Rejection] = []
    listed = 0
    for page in client.tls_secrets(source.namespace, source.selector):
        listed += len(page)
        if listed > MOST_CERTIFICATES:  # the pages after this one are not asked for
            raise ClusterError(too_many_secrets(source))
        found += _examine_page(page, source, policy)
    return found


def _examine_page(
    page: list[dict[str, Any]], source: Source, policy: Policy
) -> list[Certificate | Rejection]:
    """Raises ClusterError where a stop is asked for: one Secret may take a second, and a page has many."""
    found = []
    for secret in page:
        if stopping.current().asked.is_set():
            what = f"check secrets in {source.namespace}"
            raise ClusterError(Failure(code=Code.INTERRUPTED, cluster=source.label, what=what))
        if name := name_of(secret):
            found.append(examine(SecretRef(namespace=source.namespace, name=name), secret, policy))
    return found


def _believe_cert_manager(
    one: Certificate | Rejection, conditions: dict[str, str]
) -> Certificate | Rejection:
    reason = conditions.get(one.ref.name)
    if isinstance(one, Certificate) and reason in WRONG_SECRET:
        return Rejection(ref=one.ref, reason=Reason.NOT_READY, detail=reason)
    return one


def _not_ready(client: ClusterClient, namespace: str) -> tuple[dict[str, str], list[str]]:
    """Secret name -> reason of the Certificate that is not ready. Not knowing is said, and is no failure."""
    try:
        pages = [_unready(page) for page in client.certificates(namespace)]
    except ClusterError as error:
        code = error.failure.code
        if code in (Code.UNREACHABLE, Code.CONNECTION_LOST, Code.TIMEOUT, Code.DEADLINE):
            raise
        known = {Code.API_MISSING: "unknown here", Code.FORBIDDEN: "not for us to read (no right)"}
        why = known.get(code, f"unreadable ({code})")
        return {}, [f"cert-manager's Certificates are {why}; the Secrets alone decide"]
    conditions = {name: reason for found, _ in pages for name, reason in found.items()}
    return conditions, [warning for _, warnings in pages for warning in warnings]


def _unready(page: Iterable[Any]) -> tuple[dict[str, str], list[str]]:
    """As `_not_ready`, of one page. A Certificate that can't be read costs itself: it is said by its name."""
    unready, warnings = dict[str, str](), list[str]()
    for certificate in page:
        try:
            unready |= _reason_of(certificate)
        except MALFORMED:
            name = name_of(certificate) or "one without a name"
            warnings.append(f"cert-manager's Certificate can't be read ({name}); its Secret alone decides")
    return unready, warnings


def _reason_of(certificate: dict[str, Any]) -> dict[str, str]:
    """Of its Secret, why it is not ready; empty where it is. MALFORMED where it is no Certificate."""
    name = (certificate.get("spec") or {}).get("secretName") or ""
    if not isinstance(name, str):
        raise TypeError("not the name of a Secret")
    for condition in (certificate.get("status") or {}).get("conditions") or []:
        if name and condition.get("type") == "Ready" and condition.get("status") == "False":
            reason = str(condition.get("reason"))
            return {name: reason if REASON.fullmatch(reason) else "unknown reason"}
    return {}
