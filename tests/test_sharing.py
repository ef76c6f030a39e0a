"""Equal rows as one object."""

from dataclasses import replace
from typing import Any

from tasks.models import Action, Change, ClusterReport, SecretRef
from tasks.reasons import Reason
from tasks.sharing import Shared
from tests.factories import NAME, NAMESPACE, version


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
