"""What a survey makes of plans and views: nothing is decided a second time, and nothing is lost."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain import annotations
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    ManagedKeys,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.inventory.evaluate import make_survey, status_of
from tasks.inventory.model import CopyState, InventoryReport, Status
from tasks.plan.decide import make_plan
from tasks.plan.observed import ObservedState
from tasks.plan.spec import SyncSpec
from tests.support import factories
from tests.support.factories import METADATA, NAME, NAMESPACE, NOW, OWNER, PAIR, US

SOURCE = factories.certificate()
OLD = factories.certificate(content="b2", age=70, serial="01d")
NEWER = factories.certificate(content="c3", age=1)
WRITTEN = "2026-02-20T08:00:00Z"
OURS = ManagedKeys(ours=PAIR, ours_metadata=METADATA, written=WRITTEN)


def copy(of: Any = SOURCE, **values: Any) -> TargetSecret:
    return factories.target_secret(of, **{"managed": OURS, **values})


def spec(inventory: SourceSnapshot, cluster: Cluster, certificate: str | None = None) -> SyncSpec:
    source = {"namespace": factories.SOURCE_NAMESPACE}
    config = SyncConfig(owner=OWNER, source=source, clusters=(cluster,))
    return SyncSpec(config, cluster, inventory, RunParameters(certificate=certificate, dry_run=True))


def look(
    *there: TargetSecret,
    inventory: SourceSnapshot | None = None,
    cluster: Cluster | None = None,
    failures: tuple[Failure, ...] = (),
    unseen: tuple[str, ...] = (),
    certificate: str | None = None,
) -> InventoryReport:
    """A survey of one cluster that has these Secrets; `unseen` namespaces could not be listed."""
    given = spec(inventory or factories.snapshot(SOURCE), cluster or factories.cluster(), certificate)
    view = ObservedState()
    for namespace in given.namespaces:
        if namespace not in unseen:
            view.add(namespace, [one for one in there if one.ref.namespace == namespace])
    plan = make_plan(given.cluster, given.snapshot, there, owner=US, now=NOW, certificate=given.certificate)
    report = ClusterReport(
        cluster="dev", dry_run=True, changes=view.only_observed(plan).changes, failures=failures
    )
    found = {"dev": (report, view)}
    return make_survey(given.snapshot, [given], found, {}, now=NOW, certificate=certificate)


def test_a_survey_tells_the_warnings_of_certificates() -> None:
    """What is odd about a fit certificate stands beside OPS's own warnings."""
    found = factories.snapshot(SOURCE.model_copy(update={"warnings": ("no issuer",)}), warnings=("ops",))
    assert look(inventory=found).warnings == ("ops", f"{SOURCE.ref.name}: no issuer")


def only(survey: InventoryReport) -> CopyState:
    (placement,) = survey.placements
    return placement


DRIFTED = ManagedKeys(ours=frozenset({"tls.crt"}), ours_metadata=METADATA, written=WRITTEN)
SITUATIONS: dict[str, tuple[list[TargetSecret], Status, Reason]] = {
    "absent": ([], Status.MISSING, Reason.MISSING_ON_TARGET),
    "same content": ([copy()], Status.IN_SYNC, Reason.IN_SYNC),
    "older content": ([copy(OLD)], Status.STALE, Reason.CERTIFICATE_RENEWED),
    "newer content": ([copy(NEWER)], Status.REFUSED, Reason.WOULD_DOWNGRADE),
    "edited": ([copy(managed=DRIFTED)], Status.DRIFTED, Reason.DRIFTED),
    "not ours": ([factories.foreign_secret()], Status.FOREIGN, Reason.OWNED_BY_OTHER),
    "cert-manager's": (
        [factories.foreign_secret(managed_by=Reason.OWNED_BY_CERT_MANAGER)],
        Status.FOREIGN,
        Reason.OWNED_BY_CERT_MANAGER,
    ),
    "another owner's": ([copy(owner="stage")], Status.FOREIGN, Reason.OWNED_BY_ANOTHER_OWNER),
    "asks to be adopted": (
        [factories.foreign_secret(annotations={annotations.ADOPT: OWNER})],
        Status.FOREIGN,
        Reason.ADOPTED,
    ),
    "immutable": ([copy(immutable=True)], Status.REFUSED, Reason.IMMUTABLE),
    "being deleted": ([copy(terminating=True)], Status.REFUSED, Reason.TERMINATING),
}


@pytest.mark.parametrize(("there", "status", "reason"), SITUATIONS.values(), ids=SITUATIONS)
def test_what_is_there_has_a_status(there: list[TargetSecret], status: Status, reason: Reason) -> None:
    """Each row of the decision table is one of the statuses, with the plan's own reason."""
    found = only(look(*there))
    assert (found.status, found.reason) == (status, reason)
    assert found.ok == (status is Status.IN_SYNC)


def test_every_refusal_has_its_remedy_and_what_a_run_heals_has_none() -> None:
    """A person is told what to do only where there is something to do."""
    assert only(look(factories.foreign_secret())).remedy == Reason.OWNED_BY_OTHER.remedy
    assert only(look(copy(OLD))).remedy == ""


@pytest.mark.parametrize(("seen", "status"), [(True, Status.FOREIGN), (False, Status.PENDING)])
def test_a_foreign_secret_in_the_place_of_a_pending_one_is_told(seen: bool, status: Status) -> None:
    """It will be refused once the certificate is issued, and a person can see to it before."""
    place = SecretRef(namespace="a", name="b")
    change = Change(action=Action.NOTHING, reason=Reason.ISSUANCE_PENDING, target=place, certificate="b")
    assert status_of(change, seen=seen) is status


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("reason", Reason)
def test_no_reason_but_in_sync_is_in_sync(action: Action, reason: Reason) -> None:
    """Whatever else a plan says, also what it will say one day, is not called in sync."""
    change = Change(action=action, reason=reason, target=SecretRef(namespace="a", name="b"), certificate="b")
    status = status_of(change, seen=True)
    assert (status is Status.IN_SYNC) == (reason is Reason.IN_SYNC and action is not Action.NOTHING)


def test_a_copy_is_told_with_its_facts() -> None:
    """Fingerprint, serial and dates as noted on the copy, when it was written, and what OPS has."""
    found = only(look(copy(OLD)))
    assert found.held is not None
    assert found.source is not None
    assert (found.held.fingerprint, found.held.serial) == (OLD.version.fingerprint, "01d")
    assert found.held.not_after == OLD.version.not_after
    assert found.written == datetime(2026, 2, 20, 8, tzinfo=UTC)
    assert (found.source.fingerprint, found.source.serial) == (SOURCE.version.fingerprint, "5eed")


def test_the_serial_of_another_content_is_not_told() -> None:
    """A copy that was edited holds something else than what was noted with it."""
    read = factories.version("e5", age=20)
    found = only(look(copy(managed=DRIFTED, was_read=True, read=read)))
    assert found.held is not None
    assert (found.held.fingerprint, found.held.serial) == (read.fingerprint, "")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-20T08:00:00", "9" * 5000])
def test_a_time_that_is_none_is_unknown(text: str) -> None:
    """What a server notes of its own accord never fails a survey."""
    assert only(look(copy(managed=replace(OURS, written=text)))).written is None


def unreachable(what: str = "get namespace kube-system") -> Failure:
    return Failure(code=FailureCode.UNREACHABLE, cluster="dev", what=what)


def test_a_cluster_that_cannot_be_read_is_unknown() -> None:
    """All that its routes want has a row, with the code of the failure and what OPS has."""
    found = only(look(unseen=(NAMESPACE,), failures=(unreachable(),)))
    assert (found.status, found.reason, found.held) == (Status.UNKNOWN, "Unreachable", None)
    assert found.source is not None
    assert not found.ok


def test_a_namespace_that_cannot_be_read_hides_no_other() -> None:
    """Its rows are unknown; those of the others are told."""
    cluster = factories.cluster(factories.route([NAME], ["a", "b"]))
    survey = look(
        copy(namespace="a"), cluster=cluster, unseen=("b",), failures=(unreachable("list secrets in b"),)
    )
    assert {one.namespace: one.status for one in survey.placements} == {
        "a": Status.IN_SYNC,
        "b": Status.UNKNOWN,
    }
    assert not survey.ok


def test_without_ops_the_copies_are_told_and_nothing_is_called_right() -> None:
    """Where OPS is down one may want to know just this: what is there, and until when."""
    gone = SourceSnapshot(failure=Failure(code=FailureCode.UNREACHABLE, cluster="OPS", what="list secrets"))
    cluster = factories.cluster(factories.route(["homarr-*"], [NAMESPACE]))
    found = only(look(copy(), inventory=gone, cluster=cluster))
    assert (found.status, found.reason) == (Status.UNKNOWN, "Unreachable")
    assert found.held is not None
    assert found.held.not_after == SOURCE.version.not_after
    assert not look(inventory=gone, cluster=cluster).ok


def test_a_rejected_certificate_is_refused_or_missing() -> None:
    """Where a copy of ours lies there it stays, and is not the right one."""
    rejected = factories.snapshot(factories.rejection())
    assert only(look(copy(), inventory=rejected)).status is Status.REFUSED
    assert only(look(inventory=rejected)).status is Status.MISSING
    assert only(look(factories.foreign_secret(), inventory=rejected)).status is Status.FOREIGN


def test_what_nothing_feeds_is_orphaned() -> None:
    """Fine where a glob routed it or no route does; not where a route names it."""
    nothing, glob = factories.snapshot(), factories.cluster(factories.route(["homarr-*"]))
    gone = only(look(copy(), inventory=nothing, cluster=glob))
    wanted = only(look(copy(), inventory=nothing))
    assert (gone.status, gone.ok) == (Status.ORPHANED, True)
    assert (wanted.status, wanted.ok) == (Status.ORPHANED, False)


def test_one_certificate_is_told_alone() -> None:
    """Also where nothing could be seen; the others are left out."""
    other = factories.certificate("other-tls")
    cluster = factories.cluster(factories.route([NAME, "other-tls"]))
    both = factories.snapshot(SOURCE, other)
    for unseen in ((), (NAMESPACE,)):
        survey = look(inventory=both, cluster=cluster, certificate="other-tls", unseen=unseen)
        assert only(survey).certificate == "other-tls"
        assert survey.certificates == (other,)


def test_the_worst_stand_first() -> None:
    """What needs a person, then what a run heals, then the rest."""
    names = ("a-tls", "b-tls", "c-tls", "d-tls")
    made = [factories.certificate(name) for name in names]
    cluster = factories.cluster(factories.route(names))
    survey = look(
        copy(made[0]),
        factories.foreign_secret(name="c-tls"),
        copy(made[3].model_copy(update={"version": OLD.version})),
        inventory=factories.snapshot(*made),
        cluster=cluster,
    )
    assert [str(one.status) for one in survey.placements] == ["foreign", "missing", "stale", "in sync"]
    assert survey.counts == {
        Status.FOREIGN: 1,
        Status.MISSING: 1,
        Status.STALE: 1,
        Status.IN_SYNC: 1,
    }
