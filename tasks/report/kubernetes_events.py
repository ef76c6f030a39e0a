"""Kubernetes Events on cert-manager's Certificates, for `kubectl describe certificate`. Pure.

tasks/source/write_events.py creates them on OPS, if `source.events` is true. A certificate has an Event of
each run that wrote a copy of it, and one while a request of its Certificate is refused: whoever made the
request may see no report. Nothing else that lasts has one, nor has a dry run.

| reason                | type    | when                                                             |
| --------------------- | ------- | ---------------------------------------------------------------- |
| `Copied`              | Normal  | copies were written, and no copy of the certificate was refused  |
| `CopiedInPart`        | Warning | copies were written, but another copy of the certificate was not |
| `RequestBeyondLimits` | Warning | the Certificate asks for a copy that no limit allows             |
| `RequestInvalid`      | Warning | what it asks for can't be read                                   |
| `RequestConflict`     | Warning | another certificate or Certificate has a claim to the same name  |
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from tasks.domain.models import (
    Certificate,
    CertificateResource,
    Change,
    ListedSecret,
    RefusedRequest,
    RunReport,
)
from tasks.domain.text import printable

COMPONENT = "tls-sync"
COPIED, COPIED_IN_PART = "Copied", "CopiedInPart"
MAX_EVENTS = 100
"""Maximum number of Events of one run: refused requests, which the next run finds again, come last."""
MAX_MESSAGE = 1024
"""Maximum number of characters of a message: the API's limit."""
MAX_COPIES = 5
"""Maximum number of copies that a message names of each kind: a describe shows it on one line."""
MAX_PREFIX = 200
"""Characters of the Certificate's name in that of an Event, which has 253 at most."""


class KubernetesEvent(NamedTuple):
    about: CertificateResource
    namespace: str
    owner: str
    reason: str
    message: str
    at: datetime
    digest: str
    """Of what was written or refused: an Event that is created twice has the same name both times."""

    @property
    def is_warning(self) -> bool:
        return self.reason != COPIED

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the Event as core/v1 has it, which `kubectl describe` reads."""
        moment = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        name = f"{self.about.name[:MAX_PREFIX].rstrip('.-')}.{self.digest}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "namespace": self.namespace,
                "name": self.about.name,
                "uid": self.about.uid,
            },
            "type": "Warning" if self.is_warning else "Normal",
            "reason": self.reason,
            "message": self.message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self.owner,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }


class _Row(NamedTuple):
    cluster: str
    change: Change

    def __str__(self) -> str:
        return f"{self.cluster} {self.change.target}"


def kubernetes_events_of(report: RunReport) -> list[KubernetesEvent]:
    """Return the Events of a run; none unless the snapshot names the Certificates."""
    if report.parameters.dry_run:
        return []
    copies = sorted(_copies(report), key=lambda event: not event.is_warning)
    return [*copies, *_refused_requests(report)]


def _copies(report: RunReport) -> Iterator[KubernetesEvent]:
    written = {
        change.certificate
        for cluster in report.clusters
        for change in cluster.changes
        if change.applied and change.writes
    }
    about = [one for one in report.snapshot.certificates if one.resource and one.ref.name in written]
    rows: dict[str, list[_Row]] = {one.ref.name: [] for one in about}
    for cluster in report.clusters:
        for change in cluster.changes:
            if change.certificate in rows:
                rows[change.certificate].append(_Row(cluster.cluster, change))
    for one in about:
        if one.resource:
            yield _event_of(report, one, one.resource, rows[one.ref.name])


def _refused_requests(report: RunReport) -> Iterator[KubernetesEvent]:
    """Yield an Event of each refusal, which has the same name as long as nothing about it changes.

    OPS deletes an Event after an hour, and the next run that finds the same creates it again.
    """
    snapshot, asked = report.snapshot, report.parameters.certificate
    refused = [one for one in snapshot.refused_requests if asked in (None, one.ref.name)]
    if not refused:  # as a rule: OPS may have 10,000 certificates, and the watcher a report of each change
        return
    known: tuple[Certificate | ListedSecret, ...] = (*snapshot.certificates, *snapshot.listed)
    about = {one.ref.name: one.resource for one in known}
    for one in refused:
        if resource := about.get(one.ref.name):
            yield KubernetesEvent(
                about=resource,
                namespace=one.ref.namespace,
                owner=report.owner,
                reason=one.reason,
                message=_refusal(one),
                at=report.now,
                digest=_digest((report.owner, resource.uid, str(one.reason), one.detail)),
            )


def _refusal(one: RefusedRequest) -> str:
    """Return the words of the report; of a detail that is too long, the first part."""
    before, after = f"{one.reason.sentence} (", f"): {one.reason.remedy}"
    room = MAX_MESSAGE - len(before) - len(after)
    detail = printable(one.detail)
    return before + (detail if len(detail) <= room else detail[: room - 3] + "...") + after


def _event_of(
    report: RunReport, one: Certificate, about: CertificateResource, rows: Sequence[_Row]
) -> KubernetesEvent:
    """Return the Event of a certificate of which a copy was written; `rows` are of all its copies."""
    written = [row for row in rows if row.change.applied and row.change.writes]
    failed = [row for row in rows if row.change.failed or (row.change.writes and not row.change.applied)]
    return KubernetesEvent(
        about=about,
        namespace=one.ref.namespace,
        owner=report.owner,
        reason=COPIED_IN_PART if failed else COPIED,
        message=_message(one, written, failed),
        at=report.now,
        digest=_digest((report.owner, about.uid, _states(written))),
    )


def _message(one: Certificate, written: Sequence[_Row], failed: Sequence[_Row]) -> str:
    parts = [f"Copied to {_names(list(map(str, written)))}"]
    if failed:
        parts.append(f"not to {_names([f'{row} ({row.change.reason})' for row in failed])}")
    parts.append(f"expires {one.version.not_after:%Y-%m-%d %H:%M} UTC")
    return "; ".join(parts)[:MAX_MESSAGE]


def _names(names: Sequence[str]) -> str:
    more = len(names) - MAX_COPIES
    return ", ".join(names[:MAX_COPIES]) + (f" and {more:,} more" if more > 0 else "")


def _states(written: Sequence[_Row]) -> list[tuple[object, ...]]:
    """Return the states of copies before and after, which a retried run reports again as they were.

    Only a copy that is created anew with equal content, because somebody deleted it, has those of the
    creation before.
    """
    return [
        (str(row), row.change.uid, row.change.resource_version, row.change.new and row.change.new.fingerprint)
        for row in written
    ]


def _digest(state: tuple[object, ...]) -> str:
    return sha256(repr(state).encode()).hexdigest()[:16]
