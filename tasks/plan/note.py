"""The note on a copy: the version of the source Secret that the copy was last compared with. Pure.

Where the note agrees with what OPS and the target list, and nobody has edited the copy, the copy is in sync,
and no private key is read to know it. The note says `<uid>/<resourceVersion> <until> <digest>`: it holds
until the first certificate of tls.crt expires. The digest is over all else that the comparison depended on:

- when the source Secret was last written: after OPS was restored from a snapshot, a resourceVersion may come
  again with other content;
- the content of the copy, by its fingerprint annotation and its keys: the copy may have been written again;
- the rules for what may be sent to the cluster, so that a note ends with the `hostnames` it was made under,
  and with the limits of `selfService` under which the copy was granted to a Certificate;
- the version of the checks.

A note that was lost or spoilt differs from the one that is expected: then the source Secret is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from tasks.config.routes import Route
from tasks.config.schema import Cluster, Source
from tasks.domain.annotations import FINGERPRINT, NOTE, SOURCE
from tasks.domain.models import (
    Action,
    Certificate,
    ListedSecret,
    Owner,
    Plan,
    Rejection,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.reasons import Reason
from tasks.plan import ownership
from tasks.plan.further import recorded

CHECKS_VERSION = 1
"""To be raised with each change of source/checks.py that refuses what was accepted: it voids every note."""
DIGEST_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the configuration decides whether a certificate may be sent to a cluster, as a digest."""

    digest: str
    granted: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    """The routes that were granted to Certificates, by namespace: their limits decide, too."""

    @classmethod
    def of(cls, cluster: Cluster, source: Source) -> "Rules":
        deciding = (CHECKS_VERSION, source.allow_self_signed, *sorted(cluster.hostnames))
        granted: dict[str, tuple[Route, ...]] = {}
        for route in cluster.routes:
            for namespace in route.namespaces if route.granted_by else ():
                granted[namespace] = (*granted.get(namespace, ()), route)
        return cls(_digest(deciding), granted)

    def of_copy(self, copy: SecretRef) -> str:
        """Return the digest of what decides whether this copy may be sent."""
        for route in self.granted.get(copy.namespace, ()):
            if route.sends(copy.name):
                return _digest((self.digest, *(sorted(one.hostnames) for one in route.granted_by)))
        return self.digest


def _digest(deciding: Iterable[object]) -> str:
    return sha256("\n".join(map(str, deciding)).encode()).hexdigest()


def note_of(source: Certificate, copy: TargetSecret, rules: Rules) -> str:
    """Return the note of a copy that is in sync with this source; empty if the source can't be identified."""
    until = min(source.version.not_after, source.checked_until or source.version.not_after)
    return _note(source, copy, rules, until.isoformat())


def _note(source: ListedSecret | Certificate, copy: TargetSecret, rules: Rules, until: str) -> str:
    fingerprint = copy.annotations.get(FINGERPRINT)
    if not (source.uid and source.resource_version and source.written and fingerprint):
        return ""
    keys = ",".join(sorted(copy.managed.ours or ()))
    content = (fingerprint, keys, *recorded(copy).split())
    compared = "\n".join((str(source.ref), source.written, until, *content, rules.of_copy(copy.ref)))
    digest = sha256(compared.encode()).hexdigest()[:DIGEST_DIGITS]
    return f"{source.uid}/{source.resource_version} {until} {digest}"


def proves_sync(copy: TargetSecret, source: ListedSecret, owner: Owner, rules: Rules, now: datetime) -> bool:
    """Whether the copy is in sync according to its note, its metadata, and the time until which that holds.

    What has expired since must be read: the checks say what is wrong with it.
    """
    note = copy.annotations.get(NOTE, "")
    until = note.partition(" ")[2].partition(" ")[0]
    return (
        bool(note)
        and note == _note(source, copy, rules, until)
        and copy.annotations.get(SOURCE) == str(source.ref)
        and ownership.is_ours(copy, owner)
        and ownership.is_untouched(copy)
        and _is_valid(copy, until, now)
    )


def _is_valid(copy: TargetSecret, until: str, now: datetime) -> bool:
    version = ownership.written_version(copy)
    try:
        end = ownership.parse_time(until)
    except ValueError:
        return False
    return version is not None and version.not_before <= now < min(end, version.not_after)


def changed_notes(
    plan: Plan, snapshot: SourceSnapshot, copies: Mapping[SecretRef, TargetSecret], rules: Rules
) -> Iterator[tuple[TargetSecret, str | None]]:
    """Yield the copies whose note is to be written, and, with None, those whose note is to be removed.

    A copy that was compared with a certificate that was read gets the note of it. A copy whose certificate is
    refused loses its note, so that each run reads the certificate and says why.
    """
    entries = snapshot.entries
    for row in plan.changes:
        source, copy = entries.get(row.certificate), copies.get(row.target)
        if copy is None or row.absence:  # prune clears the record under the resourceVersion that was listed
            continue
        if isinstance(source, Certificate) and source.checked and row.reason is Reason.IN_SYNC:
            note = note_of(source, copy, rules)
            if note and copy.annotations.get(NOTE) != note:
                yield copy, note
        elif isinstance(source, Rejection) and row.action is Action.KEEP and NOTE in copy.annotations:
            yield copy, None
