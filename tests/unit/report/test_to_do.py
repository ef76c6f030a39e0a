"""What a person has to do after a run."""

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.report.to_do import MAX_PLACES, on_ops, to_do
from tests.support.factories import NOW, change, cluster_report, failure, issuance, rejection, snapshot
from tests.support.report_example import CREATED, DOWN, REFUSED

TIMEOUT = failure(FailureCode.TIMEOUT, cluster="prd")


def test_each_kind_of_trouble_is_one_item() -> None:
    """Clusters come before copies, and these before OPS; what needs no person is no item."""
    sick = cluster_report("prd", CREATED, REFUSED, failures=(TIMEOUT, TIMEOUT, failure(cluster="prd")))
    found = snapshot(rejection("x-tls"), issuance("n-tls"), issuance("o-tls", attempts=1))
    items = to_do([cluster_report("dev", CREATED, change()), DOWN, sick], on_ops(found, NOW))
    assert [(str(one.code), one.where) for one in items] == [
        ("Unreachable", "rct, prd"),
        ("Timeout", "prd"),
        ("OwnedByOther", "prd: homarr-dev/c-tls"),
        ("Expired", "OPS: x-tls"),
        ("IssuanceLate", "OPS: o-tls"),
    ]


def test_many_places_are_counted() -> None:
    """An item is a line, however many clusters are down."""
    (item,) = to_do(cluster_report(f"c{number}", failures=(failure(),)) for number in range(1005))
    assert len(item.places) == MAX_PLACES
    assert item.where == "c0, c1, c2, c3, c4 and 1,000 more"


def test_no_item_lacks_what_to_do() -> None:
    """A row that fails for a reason without a remedy is shown in its cluster's table only."""
    assert to_do([cluster_report("dev", change(Action.REFUSE, Reason.ADOPTED))]) == []
