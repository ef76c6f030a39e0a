"""The report of an inventory: what it makes of the rows of plans, and of what could not be read."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.config.schema import Cluster, SyncConfig
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    FurtherKey,
    ManagedKeys,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.inventory.document import document
from tasks.inventory.evaluate import build_report, status_of
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
    unread: tuple[str, ...] = (),
    certificate: str | None = None,
) -> InventoryReport:
    """Return the report of one cluster with these Secrets; `unread` namespaces could not be listed."""
    given = spec(inventory or factories.snapshot(SOURCE), cluster or factories.cluster(), certificate)
    observed = ObservedState()
    for namespace in given.namespaces:
        if namespace not in unread:
            observed.add(namespace, [one for one in there if one.ref.namespace == namespace])
    plan = make_plan(given.cluster, given.snapshot, there, owner=US, now=NOW, certificate=given.certificate)
    report = ClusterReport(
        cluster="dev", dry_run=True, changes=observed.only_observed(plan).changes, failures=failures
    )
    previews = {"dev": (report, observed)}
    return build_report(given.snapshot, [given], previews, {}, now=NOW, certificate=certificate)


def test_the_report_has_the_warnings_of_certificates() -> None:
    """Warnings of certificates come after those of OPS; if one is selected, others are left out."""
    found = factories.snapshot(SOURCE.model_copy(update={"warnings": ("no issuer",)}), warnings=("ops",))
    assert look(inventory=found).snapshot.all_warnings == ("ops", f"{SOURCE.ref.name}: no issuer")
    assert look(inventory=found, certificate="other-tls").snapshot.all_warnings == ("ops",)


def only(report: InventoryReport) -> CopyState:
    (copy,) = report.copies
    return copy


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
def test_a_copy_has_a_status(there: list[TargetSecret], status: Status, reason: Reason) -> None:
    """Each row of the decision table has a status, and the plan's own reason."""
    found = only(look(*there))
    assert (found.status, found.reason) == (status, reason)
    assert found.ok == (status is Status.IN_SYNC)


def test_only_refusals_have_a_remedy() -> None:
    """A copy that the next run repairs has no remedy."""
    assert only(look(factories.foreign_secret())).remedy == Reason.OWNED_BY_OTHER.remedy
    assert only(look(copy(OLD))).remedy == ""


@pytest.mark.parametrize(("exists", "status"), [(True, Status.FOREIGN), (False, Status.PENDING)])
def test_a_foreign_secret_in_the_place_of_a_pending_copy_is_foreign(exists: bool, status: Status) -> None:
    """The status is foreign, since the copy will be refused once the certificate is issued."""
    place = SecretRef(namespace="a", name="b")
    change = Change(action=Action.NOTHING, reason=Reason.ISSUANCE_PENDING, target=place, certificate="b")
    assert status_of(change, exists=exists) is status


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("reason", Reason)
def test_no_reason_but_in_sync_is_in_sync(action: Action, reason: Reason) -> None:
    """No other reason has the status in sync, whatever the action."""
    change = Change(action=action, reason=reason, target=SecretRef(namespace="a", name="b"), certificate="b")
    status = status_of(change, exists=True)
    assert (status is Status.IN_SYNC) == (reason is Reason.IN_SYNC and action is not Action.NOTHING)


def test_a_copy_has_its_facts() -> None:
    """A copy has its annotated fingerprint, serial and dates, the time of its writing, and OPS's content."""
    found = only(look(copy(OLD)))
    assert found.stored is not None
    assert found.source is not None
    assert (found.stored.fingerprint, found.stored.serial) == (OLD.version.fingerprint, "01d")
    assert found.stored.not_after == OLD.version.not_after
    assert found.written_at == datetime(2026, 2, 20, 8, tzinfo=UTC)
    assert (found.source.fingerprint, found.source.serial) == (SOURCE.version.fingerprint, "5eed")


def test_the_serial_of_another_content_is_not_shown() -> None:
    """A copy that was edited has no serial: the annotation belongs to the content from before."""
    read = factories.version("e5", age=20)
    found = only(look(copy(managed=DRIFTED, was_read=True, read=read)))
    assert found.stored is not None
    assert (found.stored.fingerprint, found.stored.serial) == (read.fingerprint, "")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-20T08:00:00", "9" * 5000])
def test_an_invalid_time_is_unknown(text: str) -> None:
    """A time in managedFields that can't be parsed is None, and fails nothing."""
    assert only(look(copy(managed=replace(OURS, written=text)))).written_at is None


def test_a_cluster_that_cannot_be_read_is_unknown() -> None:
    """Each copy that its routes want has a row, with the code of the failure and OPS's content."""
    found = only(look(unread=(NAMESPACE,), failures=(factories.failure(cluster="dev"),)))
    assert (found.status, found.reason, found.stored) == (Status.UNKNOWN, "Unreachable", None)
    assert found.source is not None
    assert not found.ok


def test_a_namespace_that_cannot_be_read_hides_no_other() -> None:
    """Its copies are unknown; those of other namespaces have their status."""
    cluster = factories.cluster(factories.route([NAME], ["a", "b"]))
    report = look(
        copy(namespace="a"), cluster=cluster, unread=("b",), failures=(factories.failure(cluster="dev"),)
    )
    assert {one.namespace: one.status for one in report.copies} == {
        "a": Status.IN_SYNC,
        "b": Status.UNKNOWN,
    }
    assert not report.ok


def test_without_ops_the_copies_are_shown_as_unknown() -> None:
    """If OPS can't be read, the report shows the copies with their expiry, and is not ok."""
    gone = SourceSnapshot(failure=factories.failure(cluster="OPS"))
    cluster = factories.cluster(factories.route(["homarr-*"], [NAMESPACE]))
    found = only(look(copy(), inventory=gone, cluster=cluster))
    assert (found.status, found.reason) == (Status.UNKNOWN, "Unreachable")
    assert found.stored is not None
    assert found.stored.not_after == SOURCE.version.not_after
    assert not look(inventory=gone, cluster=cluster).ok


def test_a_rejected_certificate_is_refused_or_missing() -> None:
    """The status is refused if a copy of ours exists, foreign if another Secret does, else missing."""
    rejected = factories.snapshot(factories.rejection())
    assert only(look(copy(), inventory=rejected)).status is Status.REFUSED
    assert only(look(inventory=rejected)).status is Status.MISSING
    assert only(look(factories.foreign_secret(), inventory=rejected)).status is Status.FOREIGN


def test_a_copy_without_a_certificate_is_orphaned() -> None:
    """An orphaned copy is ok if a glob routed it, and is not if a route names its certificate."""
    nothing, glob = factories.snapshot(), factories.cluster(factories.route(["homarr-*"]))
    gone = only(look(copy(), inventory=nothing, cluster=glob))
    wanted = only(look(copy(), inventory=nothing))
    assert (gone.status, gone.ok) == (Status.ORPHANED, True)
    assert (wanted.status, wanted.ok) == (Status.ORPHANED, False)


def test_a_selected_certificate_is_shown_alone() -> None:
    """Other certificates are left out, also if the namespace could not be read."""
    other = factories.certificate("other-tls")
    cluster = factories.cluster(factories.route([NAME, "other-tls"]))
    both = factories.snapshot(SOURCE, other)
    for unread in ((), (NAMESPACE,)):
        report = look(inventory=both, cluster=cluster, certificate="other-tls", unread=unread)
        assert only(report).certificate == "other-tls"
        assert report.snapshot.certificates == (other,)


def test_the_worst_copies_come_first() -> None:
    """The copies are sorted by status: those that need a person, those that a run repairs, the others."""
    names = ("a-tls", "b-tls", "c-tls", "d-tls")
    made = [factories.certificate(name) for name in names]
    cluster = factories.cluster(factories.route(names))
    report = look(
        copy(made[0]),
        factories.foreign_secret(name="c-tls"),
        copy(made[3].model_copy(update={"version": OLD.version})),
        inventory=factories.snapshot(*made),
        cluster=cluster,
    )
    assert [str(one.status) for one in report.copies] == ["foreign", "missing", "stale", "in sync"]
    assert report.counts == {
        Status.FOREIGN: 1,
        Status.MISSING: 1,
        Status.STALE: 1,
        Status.IN_SYNC: 1,
    }


def test_an_inventory_tells_which_further_keys_a_copy_gets() -> None:
    """Those of its route, and which of them nobody can verify; OPS keeps the others."""
    source = SOURCE.model_copy(
        update={
            "kept_keys": ("key.der", "keystore.jks", "keystore.p12"),
            "further": tuple(FurtherKey(name=one, digest="d") for one in ("key.der", "keystore.p12")),
        }
    )
    to = factories.cluster(factories.route(keys=["key.der", "keystore.p12"], unverified=True))
    found = look(inventory=factories.snapshot(source), cluster=to)
    told = document(found)
    (place,), (certificate,) = told["placements"], told["certificates"]
    assert place["keys"] == ["key.der", "keystore.p12"]
    assert place["unverifiedKeys"] == ["keystore.p12"]
    assert certificate["keysThatStayOnOps"] == ["keystore.jks"]
    plain = document(look(inventory=factories.snapshot(source)))
    assert plain["placements"][0]["keys"] == plain["placements"][0]["unverifiedKeys"] == []
    assert plain["certificates"][0]["keysThatStayOnOps"] == [*source.kept_keys]
