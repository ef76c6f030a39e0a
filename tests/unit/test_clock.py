"""What clocks do: ours a day ahead or behind, leap days, summer time, a clock that is set back."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.context import TaskRunContext

from deployments.sandbox.world.cert_manager import Issuer
from tasks.config.limits import CLUSTER_SECONDS
from tasks.domain.models import Action, Certificate, Change, Rejection, RunReport, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.kubeconfig.expiry import expiry_warnings
from tasks.orchestration import task_options
from tasks.plan import decide, ownership
from tasks.report.rows import format_version
from tasks.report.verdict import expiring
from tasks.source.checks import Policy, check_secret
from tests.support.factories import (
    NAME,
    NOW,
    SOURCE_NAMESPACE,
    US,
    certificate,
    cluster,
    law,
    snapshot,
    target_secret,
)

REF = SecretRef(namespace=SOURCE_NAMESPACE, name=NAME)
HOSTS = ["homarr.dev.example.org"]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LEAP = datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe")
TURNS = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Paris: 2 to 3 o'clock does not exist
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # Paris: 2 to 3 o'clock comes twice
)


def issued(begin: datetime, end: datetime) -> dict[str, Any]:
    return Issuer(now=NOW).secret(NAME, HOSTS, not_before=begin, not_after=end)


def found(begin: datetime, end: datetime, now: datetime) -> Certificate | Rejection:
    """What our clock makes of a certificate that OPS has."""
    return check_secret(REF, issued(begin, end), Policy(now=now))


def one_row(on_ops: Certificate | Rejection, copy: Certificate | None, now: datetime) -> Change:
    current = [target_secret(copy)] if copy else []
    (row,) = decide.make_plan(cluster(), snapshot(on_ops), current, owner=US, now=now).changes
    return row


@pytest.mark.parametrize(
    "copy", [certificate(age=90.5), certificate(age=10)], ids=["expired copy", "good copy"]
)
def test_a_clock_a_day_behind_sends_nothing_early(copy: Certificate) -> None:
    """A fresh certificate looks as if it were not yet valid: that is said, and the copy stays."""
    fresh = found(NOW - timedelta(hours=1), NOW + 90 * DAY, NOW - DAY)
    assert isinstance(fresh, Rejection)
    assert fresh.reason is Reason.NOT_YET_VALID
    row = one_row(fresh, copy, NOW - DAY)
    assert (row.action, row.reason) == (Action.KEEP, Reason.NOT_YET_VALID)
    assert isinstance(found(NOW - timedelta(hours=1), NOW + 90 * DAY, NOW), Certificate)


def test_a_clock_a_day_ahead_deletes_nothing() -> None:
    """A certificate in its last hours looks expired: that is said, and the copy stays."""
    ending = found(NOW - 89 * DAY, NOW + timedelta(hours=12), NOW + DAY)
    assert isinstance(ending, Rejection)
    row = one_row(ending, certificate(age=89), NOW + DAY)
    assert (row.action, row.reason) == (Action.KEEP, Reason.EXPIRED)


@law
@given(
    hours=st.integers(-26, 26),
    age=st.floats(0, 60),
    older=st.floats(0.01, 60),
    life=st.sampled_from([7, 47, 90]),
)
def test_no_clock_within_a_day_makes_us_send_an_older_one_for_one_that_is_good(
    hours: int, age: float, older: float, life: int
) -> None:
    """Whatever our clock says, a copy that it takes to be valid is never replaced by an older certificate."""
    now = NOW + timedelta(hours=hours)
    source, copy = certificate(age=age + older, life=120), certificate(content="b2", age=age, life=life)
    row = one_row(source, copy, now)
    assert row.reason is Reason.WOULD_DOWNGRADE or copy.version.not_after <= now


@pytest.mark.parametrize("end", [LEAP, datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)])
def test_a_leap_day_is_a_day_like_any_other(end: datetime) -> None:
    """A certificate that ends on 29 February, or after it, is good until then, and noted as such."""
    begin = end - 90 * DAY
    good, late = found(begin, end, end - SECOND), found(begin, end, end)
    assert isinstance(good, Certificate)
    assert isinstance(late, Rejection)
    assert late.reason is Reason.EXPIRED
    assert good.version.days_left(end - DAY) == 1
    assert good.version.days_left(end - DAY + SECOND) == 0
    noted = ownership.written_version(target_secret(good))
    assert noted == good.version
    assert format_version(noted).endswith(f"{end:%Y-%m-%d}")


def test_a_certificate_of_a_leap_day_can_be_issued_and_renewed() -> None:
    """A notBefore on 29 February orders certificates like any other moment."""
    begin = datetime(2028, 2, 29, 12, tzinfo=UTC)
    old, new = (found(begin + shift, begin + shift + 90 * DAY, begin) for shift in (-DAY, timedelta()))
    assert isinstance(old, Certificate)
    assert isinstance(new, Certificate)
    assert one_row(new, old, begin).reason is Reason.CERTIFICATE_RENEWED
    assert one_row(old, new, begin).reason is Reason.WOULD_DOWNGRADE


@pytest.mark.parametrize("turn", TURNS, ids=["spring", "autumn"])
def test_summer_time_changes_nothing(turn: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every zone of the process, around the turn of its clocks, all decisions and texts are the same."""
    told, secret = set(), issued(turn - 80 * DAY, turn)
    for zone in ZONES:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        told.add("\n".join(told_around(turn, secret)))
    monkeypatch.undo()
    time.tzset()
    assert len(told) == 1


def told_around(turn: datetime, secret: dict[str, Any]) -> list[str]:
    """All that depends on the clock, in the hours around a moment."""
    lines = []
    for minutes in range(-180, 181, 30):
        now = turn + timedelta(minutes=minutes)
        one = check_secret(REF, secret, Policy(now=now))
        lines.append(str(one))
        if isinstance(one, Certificate):
            lines += [
                str(one_row(one, None, now)),
                str(ownership.annotations(one)),
                str(one.version.days_left(now)),
            ]
            report = RunReport(snapshot=SourceSnapshot(certificates=(one,)), now=now)
            lines += [text for _, text in expiring(report.snapshot, now)]
        lines += expiry_warnings(turn + 3 * DAY, now)
    return lines


@pytest.mark.parametrize("set_back", [timedelta(0), timedelta(hours=1), DAY])
def test_a_clock_set_back_in_mid_run_gives_no_cluster_more_time(
    set_back: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that began, as it seems, tomorrow has the time of one cluster and no more."""
    run = SimpleNamespace(task_run=SimpleNamespace(start_time=datetime.now(UTC) + set_back))
    monkeypatch.setattr(TaskRunContext, "get", lambda: run)
    before = time.monotonic()
    for until in (None, datetime.now(UTC) + 2 * DAY):
        assert task_options.deadline_of_task(until) - time.monotonic() <= CLUSTER_SECONDS
        assert task_options.deadline_of_task(until) - before > CLUSTER_SECONDS - 60
