"""Ten times the certificates, copies, routes, hostnames or clusters cost a run about ten times the steps.

The families are what people write: literal names, globs with a fixed beginning or end, one certificate for
many namespaces, wildcards in `hostnames`, many clusters.
"""

from collections.abc import Callable

import pytest

from tasks.config.limits import count_copies
from tasks.config.load import parse_config
from tasks.domain.models import ClusterReport, RunReport
from tasks.inventory.document import document
from tasks.inventory.evaluate import build_report, probes_for
from tasks.inventory.model import InventoryReport
from tasks.metrics.samples import merge, run_samples, without_duplicates
from tasks.plan.observed import ObservedState
from tasks.plan.orphans import Clock
from tasks.plan.prune import at_target_time, ensure_safe_prune, plan_prune
from tasks.plan.requests import granted
from tasks.plan.safety import ensure_safe
from tasks.plan.unrouted import routed_by, without_unrouted
from tasks.plan.waves import share_of
from tasks.report import markdown, terminal
from tasks.report.events import events_of
from tests.support.factories import NOW, OPS_ID, SOURCE_NAMESPACE, US, certificate, cluster_report, snapshot
from tests.support.families import FAMILIES, World, plan, world
from tests.support.steps import steps

SMALL, MOST = 25, 12
"""The members of a family, and how many times more steps ten times as many may take."""
Work = Callable[[], object]


def first_plans(of: World) -> Work:
    return lambda: [plan(one, of.found, ()) for one in of.config.clusters]


def safety(of: World) -> Work:
    pairs = [(plan(one, of.found, ()), one) for one in of.config.clusters]
    assert any(made.writes for made, _ in pairs)

    def check() -> None:
        for made, one in pairs:
            ensure_safe(made, one, of.found, (), US)

    return check


def without_certificates(of: World) -> World:
    return of._replace(found=snapshot(certificate("other-tls"), cluster_id=OPS_ID))


def prune(of: World) -> Work:
    """Where all certificates are gone but those that are named literally."""
    gone = without_certificates(of)
    specs, reports = gone.specs, cluster_reports(gone)
    planned, clock = plan_prune(specs, reports, NOW), Clock(NOW)
    due = [at_target_time(one, clock, SOURCE_NAMESPACE) for one in planned]

    def check() -> None:
        plan_prune(specs, reports, NOW)
        for each in zip(due, specs, reports, strict=True):
            if each[-1].ok:
                ensure_safe_prune(*each, "", clock)

    return check


def cluster_reports(of: World) -> list[ClusterReport]:
    return [cluster_report(made.cluster, *made.changes) for made in of.plans()]


def run_report(of: World) -> RunReport:
    names = of.config.names
    reports = [cluster_report(one.name, *plan(one, of.found, ()).changes) for one in of.config.clusters]
    return RunReport(
        snapshot=of.found, clusters=tuple(reports), now=NOW, owner="ops", configured=names, suspended=names
    )


def texts(of: World) -> Work:
    report = run_report(of)
    return lambda: (terminal.render(report), markdown.render_run(report), list(events_of(report)))


def metrics(of: World) -> Work:
    report = run_report(of).model_copy(update={"suspended": ()})
    samples = {"group": tuple(one for part in merge({}, report).values() for one in part)}
    return lambda: (run_samples(report), without_duplicates(samples, {"group": of.config.names}, "shared"))


def inventory(of: World) -> InventoryReport:
    """One half of the copies could be read."""
    previews = {
        one.cluster: (cluster_report(one.cluster, *one.changes[::2]), ObservedState()) for one in of.plans()
    }
    return build_report(of.found, of.specs, previews, {}, now=NOW)


def inventory_document(of: World) -> Work:
    report = inventory(of)
    return lambda: document(report)


WORK: dict[str, Callable[[World], Work]] = {
    "check the configuration": lambda of: lambda: parse_config(of.document),
    "grant what Certificates ask for": lambda of: lambda: granted(of.config, of.found),
    "count the copies": lambda of: lambda: count_copies(of.found, of.config.clusters),
    "plan a first run": first_plans,
    "plan an idle run": lambda of: of.plans,
    "plan where certificates are gone": lambda of: without_certificates(of).plans,
    "check a plan for safety": safety,
    "compute the share of a wave": lambda of: lambda: share_of(of.specs, ()),
    "prune": prune,
    "leave out what is unrouted": lambda of: lambda: without_unrouted(of.found, of.config),
    "filter a batch of the watcher": lambda of: (
        lambda: [*filter(routed_by(of.config.clusters), of.found.entries)]
    ),
    "write the reports": texts,
    "make the metrics": metrics,
    "make the inventory": lambda of: lambda: inventory(of),
    "write the inventory's document": inventory_document,
    "find the addresses to probe": lambda of: lambda: [probes_for(one) for one in of.specs],
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("work", WORK)
def test_ten_times_as_many_take_ten_times_the_steps(work: str, family: str) -> None:
    """The work grows with what there is, and not with its square."""
    few, many = (steps(WORK[work](world(family, n))) for n in (SMALL, 10 * SMALL))
    assert many <= MOST * few
