"""The report of a cluster after several attempts."""

from dataclasses import replace

from tasks.domain.attempts import with_earlier_writes, writes_of
from tasks.domain.models import Action, Change, ClusterReport, SecretRef
from tasks.domain.reasons import Reason


def change(name: str, action: Action, reason: Reason, *, applied: bool = False) -> Change:
    target = SecretRef(namespace="app-a", name=name)
    return Change(action=action, reason=reason, certificate=name, target=target, applied=applied)


def report(*changes: Change) -> ClusterReport:
    return ClusterReport(cluster="dev", changes=changes)


CREATED = change("web-tls", Action.CREATE, Reason.MISSING_ON_TARGET, applied=True)
IN_SYNC = change("web-tls", Action.KEEP, Reason.IN_SYNC)
RENEWED = change("web-tls", Action.UPDATE, Reason.CERTIFICATE_RENEWED, applied=True)
PLANNED = change("api-tls", Action.CREATE, Reason.MISSING_ON_TARGET)


def test_a_write_of_an_earlier_attempt_is_still_a_write() -> None:
    """A copy that the last attempt found in sync is reported with the write of the first one."""
    assert with_earlier_writes(report(IN_SYNC), (CREATED,)).changes == (CREATED,)


def test_a_write_is_told_where_the_last_attempt_saw_nothing() -> None:
    """If the last attempt failed before its list, the writes of the first one are in the report."""
    assert with_earlier_writes(report(), (CREATED,)).changes == (CREATED,)


def test_what_the_last_attempt_did_itself_counts() -> None:
    """A second write of the same copy replaces the first in the report."""
    assert with_earlier_writes(report(RENEWED), (CREATED,)).changes == (RENEWED,)


def test_only_what_was_written_is_carried_on() -> None:
    """A planned row that was not applied is not carried over."""
    assert writes_of(report(CREATED, IN_SYNC, PLANNED)) == (CREATED,)


def test_without_an_earlier_attempt_the_report_is_the_report() -> None:
    """Without an earlier attempt the rows and their order are unchanged."""
    assert with_earlier_writes(report(PLANNED, IN_SYNC), ()) == report(PLANNED, IN_SYNC)


def test_a_refused_request_hides_no_write() -> None:
    """Its row names the target that another certificate was written to, in this attempt or an earlier one."""
    refused = replace(change("web-tls", Action.NOTHING, Reason.REQUEST_CONFLICT), certificate="asking-tls")
    assert with_earlier_writes(report(CREATED, refused), ()).changes == (CREATED, refused)
    now = with_earlier_writes(report(IN_SYNC, refused), (CREATED,))
    assert now.changes == (CREATED, refused)
