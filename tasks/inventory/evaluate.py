"""Plans and views -> placements. Pure. It decides nothing a second time: a status is a plan's row, retold."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    ClusterReport,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.reasons import QUIET, Reason
from tasks.inventory import served
from tasks.inventory.model import ClusterStatus, Content, CopyState, InventoryReport, Served, Status
from tasks.inventory.served import ServedCertificate, TLSProbe
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec

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
    Reason.DRIFTED: Status.DRIFTED,
    Reason.MISSING_ON_TARGET: Status.MISSING,
    Reason.MISSING_ON_SOURCE: Status.ORPHANED,
    Reason.ISSUANCE_PENDING: Status.PENDING,
    Reason.GONE_FROM_SOURCE: Status.ORPHANED,
    Reason.NO_LONGER_ROUTED: Status.ORPHANED,
} | dict.fromkeys(FOREIGN, Status.FOREIGN)
"""Any other reason, a check's among them, is a refusal."""


def status_of(change: Change, *, seen: bool) -> Status:
    """What a row of a plan says of the Secret that is there, or not (`seen`)."""
    if change.action is Action.NOTHING:  # wanted, and it can't be had; what is there is not ours
        absent = Status.PENDING if change.reason is Reason.ISSUANCE_PENDING else Status.MISSING
        return Status.FOREIGN if seen else absent
    return STATUSES.get(change.reason, Status.REFUSED)


def make_survey(  # noqa: PLR0913  all that was found, each passed once
    inventory: SourceSnapshot,
    orders: Iterable[SyncSpec],
    found: Mapping[str, tuple[ClusterReport, ObservedState]],
    answers: Mapping[TLSProbe, ServedCertificate | str],
    *,
    now: datetime,
    certificate: str | None = None,
    suspended: tuple[str, ...] = (),
) -> InventoryReport:
    placements: list[CopyState] = []
    for order in orders:
        report, view = found[order.cluster.name]
        placements += placements_of(order, report, view, answers)
    asked = [one for one in inventory.certificates if certificate in (None, one.ref.name)]
    reports = [report for report, _ in found.values()]
    return InventoryReport(
        now=now,
        placements=tuple(sorted(placements, key=worst_first)),
        certificates=tuple(asked),
        rejections=tuple(one for one in inventory.rejections if certificate in (None, one.ref.name)),
        issuances=tuple(one for one in inventory.issuances if certificate in (None, one.ref.name)),
        unrouted_rejections=0 if certificate else inventory.unrouted_rejections,
        unrouted_issuances=0 if certificate else inventory.unrouted_issuances,
        warnings=inventory.all_warnings,
        failure=inventory.failure,
        visits=tuple(
            ClusterStatus(cluster=r.cluster, failures=r.failures, warnings=r.warnings) for r in reports
        ),
        suspended=suspended,
    )


def worst_first(placement: CopyState) -> tuple[object, ...]:
    """What needs someone before what doesn't, and each in an order that stays."""
    rank = list(Status).index(placement.status)
    return placement.ok, rank, placement.certificate, placement.cluster, placement.namespace, placement.secret


def placements_of(
    order: SyncSpec,
    report: ClusterReport,
    view: ObservedState,
    answers: Mapping[TLSProbe, ServedCertificate | str],
) -> Iterator[CopyState]:
    """A placement for each row of the plan, and for what the routes want where nothing could be seen."""
    sources = order.snapshot.by_name
    for change in report.changes:
        yield _known(order, change, sources.get(change.certificate), view.secrets.get(change.target), answers)
    known = {change.target for change in report.changes}
    names = order.snapshot.entries
    codes = ", ".join(dict.fromkeys(str(failure.code) for failure in report.failures))
    for want in order.cluster.routed_copies(frozenset(names), order.certificate):
        hidden = want.target.namespace not in view.namespaces or want.target in view.unreadable
        chosen = order.certificate in (None, want.certificate)
        if chosen and hidden and want.target not in known:
            source = sources.get(want.certificate)
            yield CopyState(
                **_where(order, want.certificate, want.target),
                status=Status.UNKNOWN,
                reason=codes,
                source=content_of(source),
                served=_served(order, want.certificate, want.target.namespace, source, None, answers),
            )


def _known(
    order: SyncSpec,
    change: Change,
    source: Certificate | None,
    secret: TargetSecret | None,
    answers: Mapping[TLSProbe, ServedCertificate | str],
) -> CopyState:
    reason, failure = change.reason, order.snapshot.failure
    held = held_by(change, secret)
    stored = content_of(source) if reason is Reason.IN_SYNC else held
    told_elsewhere = failure is not None or reason in QUIET or change.writes
    return CopyState(
        **_where(order, change.certificate, change.target),
        # Without OPS the plan knows nothing of what is right; what is there can be told all the same.
        status=Status.UNKNOWN if failure else status_of(change, seen=secret is not None),
        reason=str(failure.code if failure else reason),
        detail=change.detail,
        remedy="" if told_elsewhere else reason.remedy,
        held=held,
        written=moment(secret.managed.written) if secret and held else None,
        source=content_of(source),
        served=_served(order, change.certificate, change.target.namespace, source, stored, answers),
    )


def _where(order: SyncSpec, certificate: str, target: SecretRef) -> dict[str, str]:
    return {
        "certificate": certificate,
        "cluster": order.cluster.name,
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


def held_by(change: Change, secret: TargetSecret | None) -> Content | None:
    """What the copy holds. The serial is the one noted with it, if the content is still the noted one."""
    if secret is None or change.old is None:
        return None
    notes, old = secret.annotations, change.old
    same = notes.get(annotations.FINGERPRINT) == old.fingerprint
    return Content(
        fingerprint=old.fingerprint,
        serial=notes.get(annotations.SERIAL, "") if same else "",
        not_before=old.not_before,
        not_after=old.not_after,
    )


def moment(text: str) -> datetime | None:
    """A time as an API server writes it; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def questions_of(order: SyncSpec) -> frozenset[TLSProbe]:
    """What is to be asked of the addresses at which this cluster's certificates are served."""
    asked = set()
    for one in order.snapshot.certificates:
        if order.certificate in (None, one.ref.name):
            for namespace in order.cluster.namespaces_of(one.ref.name):
                for address in order.cluster.served_at(one.ref.name, namespace):
                    asked.add(served.question(address, one))
    return frozenset(question for question in asked if question.name)


def _served(  # noqa: PLR0913, PLR0917  what is compared with what, and where
    order: SyncSpec,
    certificate: str,
    namespace: str,
    source: Certificate | None,
    stored: Content | None,
    answers: Mapping[TLSProbe, ServedCertificate | str],
) -> tuple[Served, ...]:
    if source is None:
        return ()
    addresses = order.cluster.served_at(certificate, namespace)
    return tuple(served.compare(one, source, stored, answers) for one in addresses)
