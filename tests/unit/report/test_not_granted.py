"""What Certificates ask for and do not get: each report tells it, and none calls it a failure."""

from tasks.domain.models import Action, RunReport
from tasks.domain.reasons import Reason
from tasks.inventory import page, table
from tasks.inventory.evaluate import status_of
from tasks.inventory.model import CopyState, InventoryReport, Status
from tasks.metrics import definitions
from tasks.metrics.samples import merge
from tasks.report import markdown, terminal
from tasks.report.document import document
from tasks.report.events import events_of
from tasks.report.headline import cluster_headline, run_headline
from tasks.report.verdict import change_message, run_verdict
from tests.support.factories import (
    NOW,
    certificate,
    change,
    cluster_report,
    refused_request,
    run_report,
    snapshot,
)

BEYOND = Reason.REQUEST_BEYOND_LIMITS
DETAIL = "Certificate homarr: selfService[0] does not allow x.example.org"
ROW = change(Action.NOTHING, BEYOND, "asked-tls", detail=DETAIL)
FOUND = snapshot(
    certificate(),
    refused_requests=(
        refused_request(detail="Certificate homarr: prd/web: this cluster is not allowed by selfService[0]"),
        refused_request("typo-tls", Reason.REQUEST_INVALID, "Certificate typo: it is not text"),
    ),
)


def report(**values: object) -> RunReport:
    return run_report(cluster_report("dev", change(), ROW), snapshot=FOUND, owner="ops", **values)


def test_a_run_with_refused_requests_is_completed() -> None:
    """Its message counts them; the cluster is in sync."""
    verdict = run_verdict(report())
    assert verdict.ok
    assert verdict.message == "1 cluster: keep 1, nothing 1; 2 asked for beyond selfService"
    assert run_headline(report()).startswith("✓ ")
    assert cluster_headline(report().clusters[0], NOW) == "dev ✓ in sync, 1 copy"
    asked = change_message(report(certificate="typo-tls"))
    assert asked == "1 cluster: keep 1, nothing 1; not granted (RequestInvalid)"


def test_the_log_names_certificate_limit_and_remedy() -> None:
    """Of what OPS has, and of a copy that its certificate's names rule out."""
    text = " ".join(terminal.render(report()).split())
    assert "not granted homarr-dev-tls: RequestBeyondLimits: its Certificate asks for a copy" in text
    assert "(Certificate homarr: prd/web: this cluster is not allowed by selfService[0]): correct" in text
    assert "homarr-dev/asked-tls: its Certificate asks for a copy that no limit" in text
    assert "selfService[0] does not allow x.example.org): correct the annotation" in text


def test_the_artifact_says_what_to_do_on_top() -> None:
    """Under `To do`, once for each kind, and in a table of OPS."""
    text = markdown.render_run(report())
    top, _, rest = text.partition("### What was done")
    assert "- **RequestBeyondLimits** (dev: homarr-dev/asked-tls, OPS: homarr-dev-tls): correct" in top
    assert "- **RequestInvalid** (OPS: typo-tls): write cluster/namespace" in top
    assert "❌" not in text
    assert "| asked for, and not granted | reason | why |" in rest
    assert "| typo-tls | RequestInvalid | " in rest


def test_the_documents_have_them() -> None:
    """A program finds them in the JSON of a run."""
    given = document(report())
    assert given["ok"] is True
    assert given["ops"]["refusedRequests"][1] == {
        "name": "typo-tls",
        "reason": "RequestInvalid",
        "detail": "Certificate typo: it is not text",
    }


def test_metrics_count_them_and_page_nobody() -> None:
    """By reason; the cluster's samples say success."""
    samples = [one for part in merge({}, report(configured=("dev",))).values() for one in part]
    counted = {one.labels: one.value for one in samples if one.family is definitions.SOURCE_NOT_GRANTED}
    assert counted == {("ops", "RequestBeyondLimits"): 1, ("ops", "RequestInvalid"): 1}
    values = {one.family: one.value for one in samples if "cluster" in one.family.labels}
    assert values[definitions.CLUSTER_SUCCESS] == 1
    assert not [one for one in samples if one.family is definitions.REFUSED]
    assert not [one for one in events_of(report()) if one.name.endswith("refused")]


def test_the_inventory_shows_them_and_is_ok() -> None:
    """The copy needs a person, and is none that a run failed to deliver."""
    assert status_of(ROW, exists=False) is Status.REFUSED
    assert status_of(change(Action.KEEP, BEYOND), exists=True) is Status.REFUSED
    copy = CopyState(
        certificate="asked-tls",
        cluster="dev",
        namespace="homarr-dev",
        secret="asked-tls",
        status=Status.REFUSED,
        reason=str(BEYOND),
        detail=DETAIL,
        remedy=BEYOND.remedy,
    )
    shown = InventoryReport(now=NOW, snapshot=FOUND, copies=(copy,))
    assert shown.ok
    text = " ".join(table.render(shown).split())
    assert "not granted: typo-tls: RequestInvalid: " in text
    assert "selfService[0] does not allow x.example.org" in text
    assert "not granted: typo-tls" in page.render(shown)
