"""From a run to an alert, with real parts: API servers, the flow, Pushgateway, Prometheus, Alertmanager."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL

from flows.tls_sync import tls_sync
from tasks.domain.models import Requests
from tasks.kube import request_counts
from tasks.metrics import registry
from tasks.metrics.push import push
from tasks.metrics.pushgateway import ADDRESS
from tasks.watch.health import Heartbeat, serve
from tests.support import chart
from tests.support.clusters import TARGETS, World
from tests.support.factories import NOW, certificate, cluster_report, issuance, rejection, snapshot
from tests.support.fault_proxy import SlowWrites
from tests.support.metrics_example import DOWN, KEPT, NEW, REFUSED, report
from tests.support.monitoring import Alertmanager, Prometheus, Pushgateway, demand
from tests.support.waiting import until
from tests.unit.metrics.test_registry import Broken

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
PERIOD = 20
"""Seconds; the chart takes a minute at least, which would make these tests long."""
DASHBOARD = json.loads((chart.CHART / "files" / "dashboard.json").read_text())
QUERIES = [
    (f"{panel['title']} {target['refId']}", target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


@dataclass(frozen=True)
class Monitoring:
    gateway: Pushgateway
    prometheus: Prometheus
    alertmanager: Alertmanager

    def firing(self, alert: str) -> set[str]:
        """The clusters of an alert."""
        found = self.alertmanager.firing()
        return {one.get("cluster", "") for one in found if one["alertname"] == alert}


def rules(world: World) -> Any:
    """The chart's, for the configuration of the world, with a short period."""
    values = {
        # The world's runs are outside of OPS.
        "tlsSync": {"config": yaml.safe_load(world.config_path.read_text()), "sourceRole": False},
        "prometheusRule": {"enabled": True, "periodSeconds": PERIOD},
    }
    command = ["template", "tls-sync", str(chart.CHART), "--skip-schema-validation"]
    done = chart.run(*command, values=values)
    assert done.returncode == 0, done.stderr
    manifests = [one for one in yaml.safe_load_all(done.stdout) if one]
    return chart.one(manifests, "PrometheusRule", "tls-sync")["spec"]


@pytest.fixture
def monitoring(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitoring]:
    demand()
    with Pushgateway(tmp_path) as gateway, Alertmanager(tmp_path) as alertmanager:
        monkeypatch.setenv(ADDRESS, gateway.url)
        targets = {"pushgateway": gateway.port}
        with Prometheus(tmp_path, targets, rules(world), alertmanager) as prometheus:
            yield Monitoring(gateway, prometheus, alertmanager)


def run() -> State[Any]:
    return tls_sync(return_state=True)


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_stopped_cluster_is_an_alert_until_it_is_back(world: World, monitoring: Monitoring) -> None:
    """Its failure, its old copy and its missing success fire for it; healed, all of them resolve."""
    (secret,) = world.issue("web-tls")
    run()
    last = "tls_sync_last_success_timestamp_seconds"
    until("a success of each cluster", lambda: len(monitoring.prometheus.query(last)) == len(TARGETS))
    world.sandbox.cluster("rct").stop()
    try:
        world.renew(secret)
        assert run().is_failed()
        until("the failure as an alert", lambda: monitoring.firing("TLSSyncRunFailed") == {"rct"})
        until("the old copy as an alert", lambda: monitoring.firing("TLSSyncCopyOlder") == {"rct"})
        everywhere = set(TARGETS)  # for nothing runs any more
        until("the dead man's switch", lambda: monitoring.firing("TLSSyncNoSuccess") == everywhere)
    finally:
        world.sandbox.cluster("rct").start()
    alerts = ("TLSSyncRunFailed", "TLSSyncCopyOlder", "TLSSyncNoSuccess")

    def healed() -> bool:
        """A run now and then, as the schedule has it."""
        return run().is_completed() and not any(monitoring.firing(alert) for alert in alerts)

    until("all alerts resolved", healed, 300)


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_what_a_run_did_is_told(world: World, monitoring: Monitoring) -> None:
    """Requests by verb and code, the certificates, and each copy with its end, as the API servers have it."""
    world.issue("web-tls")
    run()
    gateway = monitoring.gateway
    requests = gateway.values("tls_sync_last_run_api_requests", "verb", "code")
    assert requests["PATCH", "201"] == len(TARGETS)
    assert requests["GET", "200"] > len(TARGETS)
    assert {code for _, code in requests} == {"200", "201", "404"}  # OPS has no cert-manager here
    created = gateway.values("tls_sync_certificates", "cluster", "action", "reason")
    assert created == {(name, "create", "MissingOnTarget"): 1 for name in TARGETS}
    (end,) = gateway.values("tls_sync_source_not_after_timestamp_seconds", "certificate").values()
    copies = gateway.values("tls_sync_copy_not_after_timestamp_seconds", "cluster", "target_namespace")
    assert copies == {(name, "app-a"): end for name in TARGETS}
    assert set(gateway.values("tls_sync_cluster_suspended", "cluster")) == {(name,) for name in TARGETS}
    tls_sync(cluster="dev", dry_run=True, return_state=True)
    assert gateway.values("tls_sync_certificates", "cluster", "action", "reason") == created


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_run_without_its_configuration_says_so(world: World, monitoring: Monitoring) -> None:
    """A scheduled run that can't read its configuration is told, and so is one that can't read OPS."""
    good = world.config_path.read_text()
    world.config_path.write_text(good.replace("clusters:", "cluster:"))
    assert run().is_failed()
    failures = "tls_sync_last_run_failures"
    assert monitoring.gateway.values(failures, "owner", "code") == {("ops", "ConfigurationInvalid"): 1}
    until("the alert", lambda: monitoring.firing("TLSSyncRunFailed") == {""})
    world.config_path.write_text(good)
    world.sandbox.cluster("ops").stop()
    try:
        assert run().is_failed()
    finally:
        world.sandbox.cluster("ops").start()
    assert monitoring.gateway.values(failures, "owner", "code") == {("ops", "Unreachable"): 1}
    run()
    assert monitoring.gateway.samples(failures) == []


@pytest.mark.usefixtures("prefect_server", "no_waiting")
def test_a_gateway_that_is_down_is_a_line_in_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is what it would be without; its log says what was lost, once."""
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1")
    world.issue("web-tls")
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 3")
    line = "metrics: the Pushgateway did not take 2 of 2 pushes: no connection"

    def lines() -> list[str]:
        """Prefect's log, which arrives some moments later."""
        assert state.state_details.flow_run_id
        chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[state.state_details.flow_run_id]))
        with get_client(sync_client=True) as client:
            return [log.message for log in client.read_logs(chosen) if log.message.startswith("metrics")]

    assert until("the line in the log", lines) == [line]


@pytest.mark.usefixtures("prefect_server")
def test_an_interrupted_run_is_told(world: World, monitoring: Monitoring) -> None:
    """One that is told to stop, as by an eviction, pushes what it did and what is left."""
    world.configure(clusters=["dev"])
    world.issue(*(f"web-{number}-tls" for number in range(12)))
    slowly = SlowWrites(0.5)
    with world.proxy() as proxy:
        proxy.fault = slowly
        process = subprocess.Popen(
            [sys.executable, "-m", "flows"],
            cwd=ROOT,
            env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert slowly.begun.wait(180)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=120)[0].decode()
    failures = monitoring.gateway.values("tls_sync_cluster_failures", "cluster", "code")
    assert failures == {("dev", "Interrupted"): 1}, output
    pending = monitoring.gateway.values("tls_sync_secrets_pending", "cluster")
    written = monitoring.gateway.values("tls_sync_secrets_in_sync", "cluster")
    assert pending["dev",] + written["dev",] == 12
    assert pending["dev",] > 0
    assert monitoring.gateway.samples("tls_sync_last_success_timestamp_seconds") == []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has read all there is to tell: of a run, and of a watcher."""
    demand()
    directory = tmp_path_factory.mktemp("dashboard")
    with pytest.MonkeyPatch.context() as patch, Pushgateway(directory) as gateway:
        patch.setenv(ADDRESS, gateway.url)
        ends = NOW + timedelta(days=9)
        unfit = (rejection("old-tls"), issuance("new-tls"))
        found = snapshot(certificate("web-tls", version=NEW), *unfit, credential_ends=ends)
        whole = report(
            cluster_report("dev", KEPT, REFUSED), cluster_report("rct", failures=(DOWN,)), snapshot=found
        )
        assert push(whole) == push(report(cluster_report("rct", KEPT))) == push(whole) == ""
        failure = DOWN.model_copy(update={"cluster": "OPS"})
        requests = (Requests(verb="GET", code="200", count=9),)
        assert push(report(snapshot=snapshot(failure=failure), requests=requests)) == ""
        registry.record_source_event("ops")
        with pytest.raises(RuntimeError):
            request_counts.CountedConnections(Broken()).request("GET", "https://ops.example.org")  # type: ignore[arg-type]
        port = serve(0, Heartbeat(), registry.exposition).server_port
        with Prometheus(directory, {"pushgateway": gateway.port, "watcher": port}) as prometheus:
            heard, pushed = "tls_sync_watch_last_heard_timestamp_seconds", "tls_sync_last_run_failures"
            until("the first scrapes", lambda: prometheus.query(heard) and prometheus.query(pushed))
            yield prometheus


def asked(expression: str) -> str:
    """With what Grafana puts in place of its variables."""
    given = expression.replace("$owner", ".+").replace("$__rate_interval", "1m")
    assert "$" not in given
    return given


@pytest.mark.parametrize(("panel", "expression"), QUERIES, ids=[name for name, _ in QUERIES])
def test_every_query_of_the_dashboard_finds_something(told: Prometheus, panel: str, expression: str) -> None:
    """A real Prometheus takes it, and has series for it after a run and a scrape."""
    assert until(f"series for {panel}", lambda: told.query(asked(expression)))


def test_the_dashboards_matrix_has_a_cell_per_certificate_and_cluster(told: Prometheus) -> None:
    """Its query has these two labels and no other, which Grafana makes rows and columns of."""
    (matrix,) = (panel for panel in DASHBOARD["panels"] if panel["title"].startswith("Days until expiry"))
    (transformation,) = matrix["transformations"]
    assert transformation["id"] == "groupingToMatrix"
    assert transformation["options"]["rowField"] == "certificate"
    assert transformation["options"]["columnField"] == "cluster"
    found = {(one["certificate"], one["cluster"]): set(one) for one, _ in told.query(asked(query_of(matrix)))}
    cells = {("web-tls", "rct"), ("web-tls", "dev"), ("api-tls", "dev")}
    assert found == {cell: {"certificate", "cluster"} for cell in cells}


def query_of(panel: dict[str, Any]) -> str:
    (target,) = panel["targets"]
    return str(target["expr"])


def test_the_dashboard_names_metrics_that_exist() -> None:
    """Each metric of it and of its variable is one of the page's, and each kind of panel is Grafana's."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]
    named = set(re.findall(r"tls_sync_\w+", " ".join([*variables, *(e for _, e in QUERIES)])))
    assert len(named) > 20
    assert {name for name in named if f"| `{name}` |" not in page} == set()
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= {"stat", "table", "bargauge", "timeseries"}


def test_the_chart_ships_the_dashboard() -> None:
    """As a ConfigMap that Grafana's sidecar finds, with the file as it is but for the release's names."""
    shown = chart.one(
        chart.render({"grafanaDashboard": {"enabled": True}}), "ConfigMap", "tls-sync-dashboard"
    )
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = shown["data"].values()
    names = {"uid": "tls-sync-fb259095c922", "title": "tls-sync (tls-sync/tls-sync)"}
    assert json.loads(text) == DASHBOARD | names
