"""Whether scheduled runs come often enough for the certificates with the shortest life."""

from datetime import timedelta

import pytest

from tasks.preflight.model import Check, CheckStatus, Readiness, RenewalWindow
from tasks.preflight.schedule import (
    allowed_gap,
    schedule_finding,
    shortest_window,
    with_schedule,
    without_schedule,
)
from tasks.source.issuance import CertificateStatus

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIX_DAYS = RenewalWindow(certificate="web-tls", lifetime=6 * DAY, window=3 * DAY)
FORTY_FIVE_DAYS = RenewalWindow(certificate="web-tls", lifetime=45 * DAY, window=15 * DAY)


def status(lifetime: timedelta | None, share: float | None) -> CertificateStatus:
    return CertificateStatus(certificate="any", ready=True, share=share, lifetime=lifetime)


def test_two_runs_fit_before_copies_become_urgent() -> None:
    """Half of the time between renewal and expiry has room for two runs, of which one may fail."""
    assert allowed_gap(SIX_DAYS) == 18 * HOUR
    assert allowed_gap(FORTY_FIVE_DAYS) == 3.75 * DAY


@pytest.mark.parametrize(
    ("window", "gap", "name"),
    [
        (SIX_DAYS, HOUR, ""),
        (SIX_DAYS, 18 * HOUR, ""),
        (SIX_DAYS, DAY, "ScheduleTooSlow"),
        (FORTY_FIVE_DAYS, DAY, ""),
        (FORTY_FIVE_DAYS, 7 * DAY, "ScheduleTooSlow"),
        (SIX_DAYS, None, "NoSchedule"),
    ],
)
def test_a_schedule_is_judged_by_the_certificate(
    window: RenewalWindow, gap: timedelta | None, name: str
) -> None:
    """A daily run is enough for 45 days and too slow for 6, a weekly one for neither."""
    found = schedule_finding(window, gap)
    assert found.name == name
    assert found.status is (CheckStatus.WARNING if name else CheckStatus.OK)


def test_the_finding_says_what_to_do() -> None:
    """The certificate, what was found, and the longest pause that it allows."""
    found = schedule_finding(SIX_DAYS, DAY)
    assert found.text == (
        "web-tls is valid for 6 days and renewed 3 days before it expires, but scheduled runs are up to "
        "24 hours apart"
    )
    assert found.remedy == "schedule a run at least every 18 hours (chart: tlsSync.schedule)"


def test_units_are_those_that_people_use() -> None:
    """Certificates of two minutes exist in tests, and have a sentence, too."""
    short = RenewalWindow(certificate="web-tls", lifetime=timedelta(minutes=2), window=timedelta(seconds=40))
    text = schedule_finding(short, timedelta(minutes=1)).text
    assert text.startswith("web-tls is valid for 2 minutes and renewed less than a minute before it expires")
    assert text.endswith("up to 1 minute apart")


def test_the_certificate_with_the_least_time_counts() -> None:
    """Of those that a route names and whose renewal is known."""
    statuses = {
        "web-tls": status(90 * DAY, 2 / 3),
        "short-tls": status(6 * DAY, 0.5),
        "unrouted-tls": status(HOUR, 0.5),
        "unknown-tls": status(None, None),
    }
    found = shortest_window(statuses, lambda name: name != "unrouted-tls")
    assert found == RenewalWindow(certificate="short-tls", lifetime=6 * DAY, window=3 * DAY)
    assert shortest_window({}, bool) is None


def test_findings_about_ops_get_it() -> None:
    """Nothing is said where no renewal is known, and that it is unknown where Prefect does not answer."""
    ops = Readiness(cluster="OPS", shortest=SIX_DAYS)
    assert [one.name for one in with_schedule(ops, None).problems] == ["NoSchedule"]
    assert with_schedule(Readiness(cluster="OPS"), None).findings == ()
    assert without_schedule(Readiness(cluster="OPS"), "any").findings == ()
    (finding,) = without_schedule(ops, "it does not answer").findings
    assert (finding.check, finding.status) == (Check.NAMESPACES, CheckStatus.UNKNOWN)
    assert finding.text == "the schedule can't be read: it does not answer"
