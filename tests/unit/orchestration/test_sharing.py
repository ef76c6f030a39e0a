"""Equal rows as one object."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.domain.models import Action, Change, ClusterReport, SecretRef
from tasks.domain.reasons import Reason
from tasks.orchestration import sharing
from tasks.orchestration.sharing import Shared
from tests.support.factories import NAME, NAMESPACE, version


def report(cluster: str, **values: Any) -> ClusterReport:
    """As it comes from JSON: nothing of it is the same object as in another one."""
    row = Change(
        action=Action.KEEP,
        reason=Reason.IN_SYNC,
        target=SecretRef(namespace=NAMESPACE, name=NAME),
        certificate=NAME,
        old=version(),
        new=version(),
    )
    made = ClusterReport(cluster=cluster, changes=(replace(row, **values),))
    return ClusterReport.model_validate_json(made.model_dump_json())


def test_a_shared_report_says_the_same() -> None:
    """Sharing changes no report."""
    shared = Shared()
    for one in (report("dev"), report("rct"), report("prd", detail="x"), ClusterReport(cluster="none")):
        assert shared.report(one) == one


def test_equal_rows_are_one_object() -> None:
    """Clusters with equal rows cost one row; where a row differs, its parts are shared still."""
    shared = Shared()
    (dev,), (rct,), (prd,) = (
        shared.report(one).changes for one in (report("dev"), report("rct"), report("prd", detail="x"))
    )
    assert dev is rct
    assert prd is not dev
    assert (prd.target is dev.target, prd.old is dev.old, dev.old is dev.new) == (True, True, True)


def test_what_is_known_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that no other is like are forgotten; what each report has again is not."""
    monkeypatch.setattr(sharing, "MOST", 8)
    shared = Shared()
    reports = [
        shared.report(report("dev", target=SecretRef(namespace=f"team-{number}", name=NAME)))
        for number in range(100)
    ]
    assert len(shared._known) + len(shared._before) <= 2 * 8
    assert len({id(one.changes[0].old) for one in reports}) == 1
    assert len({one.changes[0].target for one in reports}) == 100
