"""Equal rows of reports become one object."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.domain.models import Action, Change, ClusterReport, SecretRef
from tasks.domain.reasons import Reason
from tasks.orchestration import fan_out
from tasks.orchestration.fan_out import RowInterner
from tests.support.factories import NAME, NAMESPACE, version


def report(cluster: str, **values: Any) -> ClusterReport:
    """Return a report parsed from JSON, which shares no object with another one."""
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


def test_interning_changes_no_report() -> None:
    """An interned report equals the original."""
    interner = RowInterner()
    for one in (report("dev"), report("rct"), report("prd", detail="x"), ClusterReport(cluster="none")):
        assert interner.intern(one) == one


def test_equal_rows_are_one_object() -> None:
    """Equal rows become one object; of rows that differ, equal parts do."""
    interner = RowInterner()
    (dev,), (rct,), (prd,) = (
        interner.intern(one).changes for one in (report("dev"), report("rct"), report("prd", detail="x"))
    )
    assert dev is rct
    assert prd is not dev
    assert (prd.target is dev.target, prd.old is dev.old, dev.old is dev.new) == (True, True, True)


def test_the_number_of_interned_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are not seen again are dropped; those of every report stay."""
    monkeypatch.setattr(fan_out, "MAX_INTERNED", 8)
    interner = RowInterner()
    reports = [
        interner.intern(report("dev", target=SecretRef(namespace=f"team-{number}", name=NAME)))
        for number in range(100)
    ]
    assert len(interner._current) + len(interner._previous) <= 2 * 8
    assert len({id(one.changes[0].old) for one in reports}) == 1
    assert len({one.changes[0].target for one in reports}) == 100
