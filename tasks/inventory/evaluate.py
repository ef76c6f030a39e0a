"""Plans and observed Secrets -> the report of an inventory. Pure. A status restates the plan's decision."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from tasks.config.routing import Routing
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    ClusterReport,
    Discovery,
    SecretRef,
    Served,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.reasons import QUIET, REQUESTS, Reason
from tasks.inventory.model import ClusterStatus, Content, CopyState, InventoryReport, Status
from tasks.inventory.served import compare
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec
from tasks.served.compare import ProbeResults, TLSProbe, probe_for

FOREIGN = frozenset(
    {
        Reason.OWNED_BY_OTHER,
        Reason.OWNED_BY_ANOTHER_OWNER,
        Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER,
        Reason.OWNED_BY_CERT_MANAGER,
        Reason.OWNED_BY_HELM,
        Reason.OWNED_BY_ARGO_CD,
        Reason.OWNED_BY_FLUX,
        Reason.OWNED_BY_CONTROLLER,
        Reason.ADOPTED,
        Reason.ADOPTION_WOULD_LOSE_KEYS,
    }
)
STATUSES = {
    Reason.IN_SYNC: Status.IN_SYNC,
    Reason.CERTIFICATE_RENEWED: Status.STALE,
    Reason.SOURCE_CHANGED: Status.STALE,
    Reason.KEYS_CHANGED: Status.STALE,
    Reason.METADATA_CHANGED: Status.STALE,
    Reason.DRIFTED: Status.DRIFTED,
    Reason.MISSING_ON_TARGET: Status.MISSING,
    Reason.MISSING_ON_SOURCE: Status.ORPHANED,
    Reason.ISSUANCE_PENDING: Status.PENDING,
    Reason.GONE_FROM_SOURCE: Status.ORPHANED,
    Reason.NO_LONGER_ROUTED: Status.ORPHANED,
} | dict.fromkeys(FOREIGN, Status.FOREIGN)
"""The statuses by reason; any other reason, among them those of checks, is REFUSED."""

ABSENT = {Reason.ISSUANCE_PENDING: Status.PENDING} | dict.fromkeys(REQUESTS, Status.REFUSED)
"""The statuses of copies that do not exist and are not created."""

NONE = Discovery()
FindServed = Callable[[str, Certificate | None, Content | None], tuple[Served, ...]]
"""What the addresses of a copy serve, from its namespace, its certificate on OPS, and what is stored."""


def status_of(change: Change, *, exists: bool) -> Status:
    """Return the status of a plan's row; `exists` says whether a Secret of that name is there."""
    if change.action is Action.NOTHING:  # a routed copy can't be written; an existing Secret is not ours
        absent = ABSENT.get(change.reason, Status.MISSING)
        return Status.FOREIGN if exists else absent
    return STATUSES.get(change.reason, Status.REFUSED)


def build_report(  # noqa: PLR0913  all that was read, each passed once
    snapshot: SourceSnapshot,
    specs: Iterable[SyncSpec],
    previews: Mapping[str, tuple[ClusterReport, ObservedState]],
    results: ProbeResults,
    *,
    now: datetime,
    certificate: str | None = None,
    suspended: tuple[str, ...] = (),
    discovery: Discovery = NONE,
) -> InventoryReport:
    """Return the report; with `certificate`, of that certificate alone."""
    copies = [copy for spec in specs for copy in copies_of(spec, *previews[spec.cluster.name], results)]
    return InventoryReport(
        now=now,
        snapshot=_of_certificate(snapshot, certificate) if certificate else snapshot,
        copies=tuple(sorted(copies, key=worst_first)),
        clusters=tuple(
            ClusterStatus(cluster=report.cluster, failures=report.failures, warnings=report.warnings)
            for report, _ in previews.values()
        ),
        suspended=suspended,
        discovery=discovery,
    )


def _of_certificate(snapshot: SourceSnapshot, certificate: str) -> SourceSnapshot:
    return snapshot.changed(
        certificates=tuple(one for one in snapshot.certificates if one.ref.name == certificate),
        rejections=tuple(one for one in snapshot.rejections if one.ref.name == certificate),
        issuances=tuple(one for one in snapshot.issuances if one.ref.name == certificate),
        refused_requests=tuple(one for one in snapshot.refused_requests if one.ref.name == certificate),
        unrouted_rejections=0,
        unrouted_issuances=0,
    )


def worst_first(copy: CopyState) -> tuple[object, ...]:
    """Return the sort key of a copy: those that are not ok, then by status and by name."""
    rank = list(Status).index(copy.status)
    return copy.ok, rank, copy.certificate, copy.cluster, copy.namespace, copy.secret


def copies_of(
    spec: SyncSpec, report: ClusterReport, observed: ObservedState, results: ProbeResults
) -> Iterator[CopyState]:
    """Yield the state of each row of the plan, and of each routed copy that could not be read."""
    spec = replace(spec, cluster=spec.cluster.with_selected(report.selected))
    sources, routing = spec.snapshot.by_name, Routing(spec.cluster)
    served = partial(_served, routing, results)
    for change in report.changes:
        secret = observed.secrets.get(change.target)
        state = _planned(spec, change, sources.get(change.certificate), secret, served)
        keys = tuple(sorted(routing.keys_to(change.certificate, change.target)))
        yield state.model_copy(update={"keys": keys}) if keys else state
    planned = {change.target for change in report.changes}
    codes = ", ".join(dict.fromkeys(str(failure.code) for failure in report.failures))
    for routed in spec.cluster.routed_copies(spec.snapshot.names, spec.certificate):
        unread = routed.target.namespace not in observed.namespaces or routed.target in observed.unreadable
        selected = spec.certificate in (None, routed.certificate)
        if selected and unread and routed.target not in planned:
            source = sources.get(routed.certificate)
            yield CopyState(
                **_place(spec, routed.certificate, routed.target),
                status=Status.UNKNOWN,
                reason=codes,
                source=content_of(source),
                served=served(routed.target.namespace, source, None),
            )


def _planned(
    spec: SyncSpec,
    change: Change,
    source: Certificate | None,
    secret: TargetSecret | None,
    served: FindServed,
) -> CopyState:
    reason, failure = change.reason, spec.snapshot.failure
    stored = stored_content(change, secret)
    expected = content_of(source) if reason is Reason.IN_SYNC else stored
    is_problem = reason not in QUIET or reason in REQUESTS
    needs_person = failure is None and is_problem and not change.writes
    return CopyState(
        **_place(spec, change.certificate, change.target),
        # Without OPS it is unknown which content is right, but the copies are shown all the same.
        status=Status.UNKNOWN if failure else status_of(change, exists=secret is not None),
        reason=str(failure.code if failure else reason),
        detail=change.detail,
        remedy=reason.remedy if needs_person else "",
        stored=stored,
        written_at=parse_time(secret.managed.written) if secret and stored else None,
        source=content_of(source),
        served=served(change.target.namespace, source, expected),
    )


def _place(spec: SyncSpec, certificate: str, target: SecretRef) -> dict[str, str]:
    return {
        "certificate": certificate,
        "cluster": spec.cluster.name,
        "namespace": target.namespace,
        "secret": target.name,
    }


def content_of(certificate: Certificate | None) -> Content | None:
    if certificate is None:
        return None
    version = certificate.version
    return Content(
        fingerprint=version.fingerprint,
        serial=certificate.serial,
        not_before=version.not_before,
        not_after=version.not_after,
    )


def stored_content(change: Change, secret: TargetSecret | None) -> Content | None:
    """Return the content of a copy, with the annotated serial if the annotated fingerprint is right."""
    if secret is None or change.old is None:
        return None
    found, old = secret.annotations, change.old
    is_annotated = found.get(annotations.FINGERPRINT) == old.fingerprint
    return Content(
        fingerprint=old.fingerprint,
        serial=found.get(annotations.SERIAL, "") if is_annotated else "",
        not_before=old.not_before,
        not_after=old.not_after,
    )


def parse_time(text: str) -> datetime | None:
    """Parse the RFC 3339 time of an API server; None if it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def probes_for(spec: SyncSpec) -> frozenset[TLSProbe]:
    """Return the probes of all addresses that serve this cluster's certificates."""
    fit = spec.snapshot.by_name
    probes = {
        probe_for(address, fit[name])
        for route in spec.cluster.routes
        if route.served
        for pattern in route.certificates
        for name in spec.snapshot.names.overlapping(pattern)
        if name in fit and spec.certificate in (None, name)
        for address in route.served
    }
    return frozenset(probe for probe in probes if probe.name)


def _served(
    routing: Routing,
    results: ProbeResults,
    namespace: str,
    source: Certificate | None,
    stored: Content | None,
) -> tuple[Served, ...]:
    if source is None:
        return ()
    addresses = routing.served_at(source.ref.name, namespace)
    return tuple(compare(address, source, stored, results) for address in addresses)
