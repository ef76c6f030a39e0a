"""Reads OPS: every certificate, checked, as facts. Plain functions; the task is collect_certificates.py.

The private keys that the list brings along live in `_examine_page` and are gone when it returns.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tasks.config.limits import MAX_CERTIFICATES, too_many_secrets
from tasks.config.schema import Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Certificate,
    Failure,
    Issuance,
    Rejection,
    SecretRef,
    SourceEntry,
    SourceSnapshot,
)
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited
from tasks.kube.client import ClusterClient
from tasks.kube.identity import identify_ops
from tasks.kube.responses import MALFORMED, name_of
from tasks.runtime import shutdown
from tasks.source.checks import Policy, check_secret
from tasks.source.issuance import AWAITED, Word, hear, issuance_of, renewal_of

# cert-manager's reasons (pkg/util/pki, policies/constants.go) that say: this Secret is not the right one.
WRONG_SECRET = frozenset(
    {"InvalidKeyPair", "IncorrectCertificate", "IncorrectIssuer", "SecretMismatch", "MissingData"}
)
REASON = re.compile(r"[A-Za-z]{1,64}")


class Heard(NamedTuple):
    """What cert-manager's Certificates say, by the name of the Secret."""

    unready: dict[str, str]
    """The reason of a Certificate that is not ready."""
    words: dict[str, Word]
    warnings: list[str]


def read_source(client: ClusterClient, source: Source, now: datetime) -> SourceSnapshot:
    """What OPS holds at this moment. Raises ClusterError where the Secrets can't be read."""
    cluster_id, about_us = identify_ops(client, source, now)
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found = {one.ref.name: one for one in _examine_all(client, source, policy)}
    heard = _not_ready(client, source)  # after the Secrets: never older than they
    empty = () if found else ("OPS holds no certificate; nothing is sent",)
    names = sorted(found.keys() | heard.words.keys())
    # Taken out one by one, or 10,000 would be held twice.
    judged = (_believe_cert_manager(name, found.pop(name, None), heard, source, now) for name in names)
    on_ops = [one for one in judged if one]
    return SourceSnapshot(
        certificates=tuple(one for one in on_ops if isinstance(one, Certificate)),
        rejections=tuple(one for one in on_ops if isinstance(one, Rejection)),
        issuances=tuple(one for one in on_ops if isinstance(one, Issuance)),
        warnings=(*empty, *_warnings(heard, on_ops), *_kept_keys(on_ops), *about_us),
        cluster_id=cluster_id,
        credential_ends=client.credential_ends,
    )


def _kept_keys(found: Iterable[SourceEntry]) -> list[str]:
    """One line, however many there are; names alone."""
    keeping = [one for one in found if isinstance(one, Certificate) and one.kept_keys]
    told = [f"{one.ref.name} ({join_limited(one.kept_keys)})" for one in keeping]
    what = "keys beyond tls.crt, tls.key and ca.crt stay on OPS"
    return [f"{what}: {join_limited(told)}"] if told else []


def _warnings(heard: Heard, on_ops: Iterable[SourceEntry]) -> list[str]:
    """Of what is fit all the same, or not on OPS; of the rest, more is told than that it is not ready."""
    told = {one.ref.name for one in on_ops if not isinstance(one, Certificate)}
    return heard.warnings + [
        f"{name}: cert-manager says that it is not ready ({reason})"
        for name, reason in sorted(heard.unready.items())
        if name not in told
    ]


def recheck(
    client: ClusterClient, source: Source, names: Iterable[str], now: datetime
) -> dict[str, Certificate | Rejection | None]:
    """What OPS holds now under some names, None where it holds nothing. Raises ClusterError."""
    policy = Policy(now=now, allow_self_signed=source.allow_self_signed)
    found: dict[str, Certificate | Rejection | None] = {}
    for name in names:
        ref = SecretRef(namespace=source.namespace, name=name)
        secret = client.tls_secret(ref)
        found[name] = check_secret(ref, secret, policy) if secret else None
    return found


def check_changed(client: ClusterClient, source: Source, name: str, now: datetime) -> SourceEntry | None:
    """As `recheck`, and cert-manager is believed, as in an inventory. Raises ClusterError."""
    found = recheck(client, source, [name], now)[name]
    if isinstance(found, Rejection) and found.reason not in AWAITED:
        return found
    return _believe_cert_manager(name, found, _not_ready(client, source), source, now)


def _examine_all(client: ClusterClient, source: Source, policy: Policy) -> list[Certificate | Rejection]:
    found: list[Certificate | Rejection] = []
    listed = 0
    for page in client.tls_secrets(source.namespace, source.selector):
        listed += len(page)
        if listed > MAX_CERTIFICATES:  # the pages after this one are not asked for
            raise ClusterError(too_many_secrets(source))
        found += _examine_page(page, source, policy)
    return found


def _examine_page(
    page: list[dict[str, Any]], source: Source, policy: Policy
) -> list[Certificate | Rejection]:
    """Raises ClusterError where a stop is asked for: one Secret may take a second, and a page has many."""
    found = []
    for secret in page:
        if shutdown.current().asked.is_set():
            what = f"check secrets in {source.namespace}"
            raise ClusterError(Failure(code=FailureCode.INTERRUPTED, cluster=source.label, what=what))
        if name := name_of(secret):
            found.append(check_secret(SecretRef(namespace=source.namespace, name=name), secret, policy))
    return found


def _believe_cert_manager(
    name: str, one: Certificate | Rejection | None, heard: Heard, source: Source, now: datetime
) -> SourceEntry | None:
    reason, word = heard.unready.get(name), heard.words.get(name)
    ref = SecretRef(namespace=source.namespace, name=name)
    if isinstance(one, Certificate) and reason in WRONG_SECRET:
        return Rejection(ref=ref, reason=Reason.NOT_READY, detail=reason)
    if word is None:
        return one
    if isinstance(one, Certificate):
        return one.model_copy(update={"renewal": renewal_of(one.version, word)})
    return issuance_of(ref, one, word, now) or one


def _not_ready(client: ClusterClient, source: Source) -> Heard:
    """What the Certificates say, above all which are not ready. Not knowing is said, and is no failure."""
    heard = Heard({}, {}, [])
    try:
        for page in client.certificates(source.namespace):
            for certificate in page:
                _hear(heard, certificate, source)
    except ClusterError as error:
        code = error.failure.code
        if code in (
            FailureCode.UNREACHABLE,
            FailureCode.CONNECTION_LOST,
            FailureCode.TIMEOUT,
            FailureCode.DEADLINE,
        ):
            raise
        known = {
            FailureCode.API_MISSING: "unknown here",
            FailureCode.FORBIDDEN: "not for us to read (no right)",
        }
        why = known.get(code, f"unreadable ({code})")
        return Heard({}, {}, [f"cert-manager's Certificates are {why}; the Secrets alone decide"])
    return heard


def _hear(heard: Heard, certificate: Any, source: Source) -> None:
    """Add what one Certificate says; of several for one Secret, the worst counts.

    One that can't be read costs itself: it is said by its name.
    """
    try:
        reasons = _reason_of(certificate)
    except MALFORMED:
        name = name_of(certificate) or "one without a name"
        heard.warnings.append(f"cert-manager's Certificate can't be read ({name}); its Secret alone decides")
        return
    for name, reason in reasons.items():
        if heard.unready.get(name) not in WRONG_SECRET:
            heard.unready[name] = reason
    hear(heard.words, certificate, source.selector)


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
