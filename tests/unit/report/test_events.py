"""The events of a run, for automations in Prefect."""

import logging
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Failure, RunReport
from tasks.domain.reasons import Reason
from tasks.orchestration import publish
from tasks.report.events import DELETED, EXPIRING, REFUSED, SYNCED, events_of
from tests.support.factories import (
    NAME,
    NAMESPACE,
    NOW,
    certificate,
    change,
    cluster_report,
    issuance,
    rejection,
    run_report,
    snapshot,
    version,
)
from tests.support.report_example import CREATED, DOWN, UPDATED
from tests.support.report_example import REFUSED as FOREIGN

NEAR_EXPIRY = version("e5", age=70)
DELETED_VERSION = version("d4")
PRUNED = change(Action.DELETE, Reason.PRUNED, "d-tls", old=DELETED_VERSION, applied=True)


def names_of(report: RunReport) -> list[tuple[str, str, str]]:
    return [(one.name, one.cluster, one.certificate) for one in events_of(report)]


WANTED = {
    "a copy in sync": (run_report(cluster_report("dev", change(old=version()))), []),
    "each copy that was written": (
        run_report(cluster_report("dev", CREATED, UPDATED), cluster_report("rct", CREATED)),
        [(SYNCED, "dev", "a-tls"), (SYNCED, "dev", "b-tls"), (SYNCED, "rct", "a-tls")],
    ),
    "a write that did not take place": (
        run_report(cluster_report("dev", replace(CREATED, applied=False))),
        [],
    ),
    "a copy that was deleted": (run_report(cluster_report("dev", PRUNED)), [(DELETED, "dev", "d-tls")]),
    "a deletion that did not take place": (
        run_report(cluster_report("dev", replace(PRUNED, applied=False))),
        [],
    ),
    "a copy that is refused": (run_report(cluster_report("dev", FOREIGN)), [(REFUSED, "dev", "c-tls")]),
    "a route's certificate is unfit": (
        run_report(
            cluster_report("dev", change(Action.NOTHING, Reason.EXPIRED)), snapshot=snapshot(rejection())
        ),
        [(REFUSED, "OPS", NAME), (REFUSED, "dev", NAME)],
    ),
    "a copy near expiry": (
        run_report(cluster_report("dev", change(old=NEAR_EXPIRY))),
        [(EXPIRING, "dev", NAME)],
    ),
    "a copy of what cert-manager renews later": (
        run_report(
            cluster_report("dev", change(old=NEAR_EXPIRY)),
            snapshot=snapshot(certificate(version=NEAR_EXPIRY, renewal=NOW + timedelta(days=1))),
        ),
        [],
    ),
    "an older copy of what cert-manager renews later": (
        run_report(
            cluster_report("dev", change(old=NEAR_EXPIRY)),
            snapshot=snapshot(certificate(age=69, renewal=NOW + timedelta(days=1))),
        ),
        [(EXPIRING, "dev", NAME)],
    ),
    "a certificate that is being issued": (
        run_report(
            cluster_report("dev", change(Action.NOTHING, Reason.ISSUANCE_PENDING)),
            snapshot=snapshot(issuance()),
        ),
        [],
    ),
    "a certificate that should have been issued": (
        run_report(
            cluster_report("dev", change(Action.NOTHING, Reason.ISSUANCE_LATE)),
            snapshot=snapshot(issuance(attempts=1)),
        ),
        [(REFUSED, "OPS", NAME), (REFUSED, "dev", NAME)],
    ),
    "a Secret that is not ours is near expiry": (
        run_report(cluster_report("dev", replace(FOREIGN, old=NEAR_EXPIRY))),
        [(REFUSED, "dev", "c-tls")],
    ),
    "a certificate on OPS near expiry": (
        run_report(cluster_report("dev"), snapshot=snapshot(certificate(age=70))),
        [(EXPIRING, "OPS", NAME)],
    ),
    "a cluster that is down": (run_report(DOWN), []),
    "OPS can't be read": (
        run_report(
            snapshot=snapshot(
                failure=Failure(code=FailureCode.UNREACHABLE, cluster="ops", what="list secrets")
            )
        ),
        [],
    ),
    "a dry run": (run_report(cluster_report("dev", FOREIGN, dry_run=True), dry_run=True), []),
    "a run for one certificate": (
        run_report(
            cluster_report("dev", CREATED),
            snapshot=snapshot(certificate(age=70), rejection("other-tls")),
            certificate="a-tls",
        ),
        [(SYNCED, "dev", "a-tls")],
    ),
}


@pytest.mark.parametrize(("report", "expected"), WANTED.values(), ids=WANTED)
def test_each_renewal_refusal_and_end_is_an_event(
    report: RunReport, expected: list[tuple[str, str, str]]
) -> None:
    """A write or deletion is one event; a refusal or an expiry is an event in each run."""
    assert names_of(report) == expected


def test_deletions_and_refusals_come_first() -> None:
    """If there are too many events, writes are left out before refusals, and deletions last."""
    mixed = run_report(
        cluster_report("dev", CREATED, change(old=NEAR_EXPIRY), FOREIGN),
        cluster_report("rct", CREATED, FOREIGN, PRUNED),
    )
    order = [DELETED, REFUSED, EXPIRING, SYNCED]
    ranks = [order.index(one.name) for one in events_of(mixed)]
    assert len(ranks) == 6
    assert all(before <= after for before, after in pairwise(ranks))


def test_an_automation_can_match_certificate_and_cluster() -> None:
    """The resource is a certificate in a cluster; the Secret there is the related resource."""
    (event,) = events_of(run_report(cluster_report("dev", CREATED), owner="ops"))
    assert event.resource == {
        "prefect.resource.id": "tls-sync.certificate.ops.dev.a-tls",
        "prefect.resource.name": "a-tls on dev",
        "tls-sync.owner": "ops",
        "tls-sync.cluster": "dev",
        "tls-sync.certificate": "a-tls",
    }
    assert [one["prefect.resource.id"] for one in event.related] == [f"tls-sync.secret.dev.{NAMESPACE}.a-tls"]


def test_the_payload_has_reason_and_expiry() -> None:
    """The payload has the reason with its remedy, or the expiry with the days that are left."""
    payloads = {
        one.name: one.payload
        for one in events_of(run_report(cluster_report("dev", CREATED, FOREIGN, PRUNED)))
    }
    assert payloads[REFUSED]["reason"] == "OwnedByOther"
    assert payloads[REFUSED]["remedy"] == Reason.OWNED_BY_OTHER.remedy
    assert payloads[SYNCED]["action"] == "create"
    assert payloads[SYNCED]["days_left"] == 80
    assert payloads[DELETED]["sentence"] == Reason.PRUNED.sentence
    assert payloads[DELETED]["fingerprint"] == DELETED_VERSION.fingerprint


def test_without_prefects_api_no_event_is_emitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the artifacts can't be created, no event is emitted: it would keep the process for minutes."""

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError

    sent: list[str] = []
    monkeypatch.setattr(publish, "create_artifacts", unreachable)
    monkeypatch.setattr(publish, "emit_event", lambda name, *_, **__: sent.append(name))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    with pytest.raises(ConnectionError):
        publish.show(run_report(cluster_report("dev", CREATED)))
    assert sent == []


def test_events_left_out_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run emits at most MAX_EVENTS events, and the log says how many were not sent."""
    sent: list[str] = []
    monkeypatch.setattr(publish, "MAX_EVENTS", 2)
    monkeypatch.setattr(publish, "emit_event", lambda name, *_, **__: sent.append(name))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    publish.emit(run_report(cluster_report("dev", CREATED, UPDATED, FOREIGN), cluster_report("rct", CREATED)))
    assert sent == [REFUSED, SYNCED]
    assert caplog.messages == ["events: 2 of 4 were not sent: too many"]
