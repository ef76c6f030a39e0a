"""Looks at what addresses present, until each presents the expected certificate or the time is up."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from tasks.domain.models import ClusterReport
from tasks.runtime import shutdown
from tasks.served.awaited import probes_of, with_results
from tasks.served.tls_probe import probe_all

SECONDS = 120.0
"""Maximum number of seconds for which a run waits for the addresses of the waves before."""
PAUSE_SECONDS = 2.0
"""Seconds between two rounds of handshakes."""


def wait_until_served(
    reports: Iterable[ClusterReport], run_deadline: datetime | None = None
) -> tuple[ClusterReport, ...]:
    """Return the reports with what their addresses present, after one round of handshakes at least.

    A stop signal ends the wait.
    """
    reports, requested = tuple(reports), shutdown.current().requested
    end = time.monotonic() + _seconds(run_deadline)
    while True:
        reports = with_results(reports, probe_all(probes_of(reports)))
        left = end - time.monotonic()
        if not probes_of(reports) or left <= 0 or requested.wait(min(PAUSE_SECONDS, left)):
            return reports


def _seconds(run_deadline: datetime | None) -> float:
    if run_deadline is None:
        return SECONDS
    return min(SECONDS, (run_deadline - datetime.now(UTC)).total_seconds())
