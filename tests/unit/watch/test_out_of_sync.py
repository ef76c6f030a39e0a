"""When a cluster that failed is tried again, and whether batches leave it out until then."""

import time

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport
from tasks.watch.out_of_sync import OutOfSync, after_failure, after_retry
from tests.support.factories import cluster_report, failure

BACKOFF = (2.0, 5.0, 60.0)
TEMPORARY = cluster_report("dev", failures=(failure(transient=True),))
PERMANENT = cluster_report("dev", failures=(failure(FailureCode.UNAUTHORIZED),))
DEADLINE = cluster_report("dev", failures=(failure(FailureCode.DEADLINE),))


def seconds(state: OutOfSync) -> int:
    return round(state.retry_at - time.monotonic())


@pytest.mark.parametrize("report", [TEMPORARY, DEADLINE], ids=["transient", "deadline"])
def test_a_temporary_failure_isolates_the_cluster(report: ClusterReport) -> None:
    """The retries follow the backoff, and batches leave the cluster out until it is in sync."""
    state = after_failure(report, 0, BACKOFF)
    assert (state.isolated, seconds(state)) == (True, 2)
    state = after_retry(state, report, BACKOFF)
    assert (state.isolated, seconds(state)) == (True, 5)
    state = after_retry(after_retry(state, report, BACKOFF), report, BACKOFF)
    assert (state.isolated, seconds(state)) == (True, 60)


def test_a_failure_that_needs_a_person_isolates_nothing() -> None:
    """The cluster is retried after the longest wait, and batches go on to try it."""
    state = after_failure(PERMANENT, 0, BACKOFF)
    assert (state.isolated, seconds(state)) == (False, 60)
    assert seconds(after_retry(state, PERMANENT, BACKOFF)) == 60


def test_a_sync_with_an_outdated_snapshot_is_repeated_at_once() -> None:
    """A retry that succeeded needs another one, without a wait, and stays isolated until then."""
    state = after_retry(OutOfSync(isolated=True, attempt=2), cluster_report("dev"), BACKOFF)
    assert (state.isolated, state.attempt, state.retry_at) == (True, 2, 0.0)
