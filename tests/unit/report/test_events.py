"""What a run tells as events, for people's own automations."""

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
from tests.support.factories import NAME, NAMESPACE, NOW, certificate, issuance, rejection, snapshot, version
from tests.unit.report.test_rows import CREATED, DOWN, UPDATED, cluster, row, run
from tests.unit.report.test_rows import REFUSED as FOREIGN

ENDING = version("e5", age=70)
HELD = version("d4")
PRUNED = row(Action.DELETE, Reason.PRUNED, "d-tls", old=HELD, applied=True)


def told(report: RunReport) -> list[tuple[str, str, str]]:
    return [(one.name, one.cluster, one.certificate) for one in events_of(report)]


WANTED = {
    "a copy in sync is no news": (run(cluster("dev", row(old=version()))), []),
    "each copy that was written": (
        run(cluster("dev", CREATED, UPDATED), cluster("rct", CREATED)),
        [(SYNCED, "dev", "a-tls"), (SYNCED, "dev", "b-tls"), (SYNCED, "rct", "a-tls")],
    ),
    "a write that did not take place": (
        run(cluster("dev", replace(CREATED, applied=False))),
        [],
    ),
    "a copy that was deleted": (run(cluster("dev", PRUNED)), [(DELETED, "dev", "d-tls")]),
    "a deletion that did not take place": (run(cluster("dev", replace(PRUNED, applied=False))), []),
    "a copy that can't be had": (run(cluster("dev", FOREIGN)), [(REFUSED, "dev", "c-tls")]),
    "a route's certificate is unfit": (
        run(cluster("dev", row(Action.NOTHING, Reason.EXPIRED)), found=snapshot(rejection())),
        [(REFUSED, "OPS", NAME), (REFUSED, "dev", NAME)],
    ),
    "a copy near its end": (
        run(cluster("dev", row(old=ENDING))),
        [(EXPIRING, "dev", NAME)],
    ),
    "a copy of what cert-manager renews later": (
        run(
            cluster("dev", row(old=ENDING)),
            found=snapshot(certificate(version=ENDING, renewal=NOW + timedelta(days=1))),
        ),
        [],
    ),
    "an older copy of what cert-manager renews later": (
        run(
            cluster("dev", row(old=ENDING)),
            found=snapshot(certificate(age=69, renewal=NOW + timedelta(days=1))),
        ),
        [(EXPIRING, "dev", NAME)],
    ),
    "a certificate that is being issued": (
        run(cluster("dev", row(Action.NOTHING, Reason.ISSUANCE_PENDING)), found=snapshot(issuance())),
        [],
    ),
    "a certificate that should have been issued": (
        run(cluster("dev", row(Action.NOTHING, Reason.ISSUANCE_LATE)), found=snapshot(issuance(attempts=1))),
        [(REFUSED, "OPS", NAME), (REFUSED, "dev", NAME)],
    ),
    "a Secret that is not ours ends, too": (
        run(cluster("dev", replace(FOREIGN, old=ENDING))),
        [(REFUSED, "dev", "c-tls")],
    ),
    "OPS itself is late": (
        run(cluster("dev"), found=snapshot(certificate(age=70))),
        [(EXPIRING, "OPS", NAME)],
    ),
    "a cluster that is down says nothing of its copies": (run(DOWN), []),
    "OPS can't be read": (
        run(
            found=snapshot(failure=Failure(code=FailureCode.UNREACHABLE, cluster="ops", what="list secrets"))
        ),
        [],
    ),
    "a dry run": (run(cluster("dev", FOREIGN, dry_run=True), dry_run=True), []),
    "only one certificate was asked for": (
        run(
            cluster("dev", CREATED),
            found=snapshot(certificate(age=70), rejection("other-tls")),
            certificate="a-tls",
        ),
        [(SYNCED, "dev", "a-tls")],
    ),
}


@pytest.mark.parametrize(("report", "expected"), WANTED.values(), ids=WANTED)
def test_each_renewal_refusal_and_end_is_an_event(
    report: RunReport, expected: list[tuple[str, str, str]]
) -> None:
    """What changed is told once, and what needs a person as long as it lasts."""
    assert told(report) == expected


def test_the_worst_comes_first() -> None:
    """Where there are too many, what was done well is what is left out, and never a deletion."""
    mixed = run(cluster("dev", CREATED, row(old=ENDING), FOREIGN), cluster("rct", CREATED, FOREIGN, PRUNED))
    order = [DELETED, REFUSED, EXPIRING, SYNCED]
    ranks = [order.index(one.name) for one in events_of(mixed)]
    assert len(ranks) == 6
    assert all(before <= after for before, after in pairwise(ranks))


def test_an_automation_can_match_certificate_and_cluster() -> None:
    """The resource is a certificate in a cluster, and the Secret there is related to it."""
    (event,) = events_of(run(cluster("dev", CREATED), owner="ops"))
    assert event.resource == {
        "prefect.resource.id": "tls-sync.certificate.ops.dev.a-tls",
        "prefect.resource.name": "a-tls on dev",
        "tls-sync.owner": "ops",
        "tls-sync.cluster": "dev",
        "tls-sync.certificate": "a-tls",
    }
    assert [one["prefect.resource.id"] for one in event.related] == [f"tls-sync.secret.dev.{NAMESPACE}.a-tls"]


def test_an_event_says_what_a_message_needs() -> None:
    """The reason with its remedy, and the end with the days that are left."""
    payloads = {one.name: one.payload for one in events_of(run(cluster("dev", CREATED, FOREIGN, PRUNED)))}
    assert payloads[REFUSED]["reason"] == "OwnedByOther"
    assert payloads[REFUSED]["remedy"] == Reason.OWNED_BY_OTHER.remedy
    assert payloads[SYNCED]["action"] == "create"
    assert payloads[SYNCED]["days_left"] == 80
    assert payloads[DELETED]["sentence"] == Reason.PRUNED.sentence
    assert payloads[DELETED]["fingerprint"] == HELD.fingerprint


def test_without_prefects_api_no_event_waits_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the artifacts don't arrive, events would not either, and would keep the process for minutes."""

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    sent: list[str] = []
    monkeypatch.setattr(publish, "create_markdown_artifact", away)
    monkeypatch.setattr(publish, "emit_event", lambda name, *_, **__: sent.append(name))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    with pytest.raises(ConnectionError):
        publish.show(run(cluster("dev", CREATED)))
    assert sent == []


def test_those_left_out_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a large run the worst events are sent, and the log says how many were not."""
    sent: list[str] = []
    monkeypatch.setattr(publish, "MOST", 2)
    monkeypatch.setattr(publish, "emit_event", lambda name, *_, **__: sent.append(name))
    monkeypatch.setattr(publish, "get_run_logger", lambda: logging.getLogger("a-run"))
    publish.emit(run(cluster("dev", CREATED, UPDATED, FOREIGN), cluster("rct", CREATED)))
    assert sent == [REFUSED, SYNCED]
    assert caplog.messages == ["events: 2 of 4 were not sent: too many"]
