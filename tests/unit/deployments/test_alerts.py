"""The chart's alerts, by promtool: each fires when it should and not before, and links to the runbook."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.chart import CHART as FOLDER
from tests.support.chart import Manifest, one, refusal, render, run, work_pool
from tests.support.monitoring import demand
from tests.unit.docs.pages import anchor, page

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

CHART = str(FOLDER)
RULES: dict[str, Any] = {"prometheusRule": {"enabled": True}}
URL = "http://pushgateway.monitoring.svc:9091"
HOUR, DAY = 60, 24 * 60
"""In minutes, the step of the series below."""
OWNER = 'owner="ops"'
DEV = f'{OWNER},cluster="dev"'
WEB = f'{OWNER},certificate="web-tls"'
COPY = f'{DEV},target_namespace="app-a",secret="web-tls",certificate="web-tls"'
RUN, REST = 'job="tls-sync-run"', 'job="tls-sync"'


def rules(values: dict[str, Any] | None = None) -> Manifest:
    """Return the PrometheusRule of the chart."""
    spec: Manifest = one(render({**RULES, **(values or {})}), "PrometheusRule", "tls-sync")["spec"]
    return spec


def alerts(spec: Manifest) -> list[Manifest]:
    return [rule for group in spec["groups"] for rule in group["rules"]]


class Case(NamedTuple):
    """Series in promtool's notation (`value+stepxcount`, a step a minute), and what fires when."""

    alert: str
    series: dict[str, str]
    quiet: int
    """Minute at which nothing fires yet."""
    fires: int | None = None
    labels: dict[str, str] = {}  # noqa: RUF012  never changed
    values: dict[str, Any] = {}  # noqa: RUF012


def moment(minutes: float) -> str:
    """A constant series: promtool's time begins at 0."""
    return f"{minutes * 60:.0f}x{30 * DAY}"


def certificate(
    begin: float, end: float, name: str = "source", labels: str = WEB, renewal: float | None = None
) -> dict[str, str]:
    """Its series; times in days. Without a renewal, as an earlier version told it."""
    due = f"tls_sync_{name}_renewal_timestamp_seconds{{{labels},{REST}}}"
    return {
        **({} if renewal is None else {due: moment(renewal * DAY)}),
        f"tls_sync_{name}_not_before_timestamp_seconds{{{labels},{REST}}}": moment(begin * DAY),
        f"tls_sync_{name}_not_after_timestamp_seconds{{{labels},{REST}}}": moment(end * DAY),
    }


LAST = f"tls_sync_last_success_timestamp_seconds{{{DEV},{REST}}}"
SUCCESS = f"tls_sync_cluster_last_run_success{{{DEV},{REST}}}"
ENDED = {f"tls_sync_cluster_last_run_timestamp_seconds{{{DEV},{REST}}}": "60+60x999"}
LATER = {f'tls_sync_cluster_last_run_timestamp_seconds{{{DEV},job="watch"}}': "90+60x999"}
REFUSED = f'tls_sync_secrets_refused{{{DEV},reason="Immutable",{REST}}}'
SERVED = (
    f'tls_sync_served_match{{{DEV},certificate="web-tls",address="web.example.org",match="older",{REST}}}'
)
ASKED = {f"tls_sync_served_last_check_timestamp_seconds{{{DEV},{REST}}}": "0+60x9999"}
AT = {"owner": "ops", "cluster": "dev", "certificate": "web-tls", "address": "web.example.org"}
HEARD = f"tls_sync_watch_last_heard_timestamp_seconds{{{OWNER}}}"
WATCH = {"watch": {"enabled": True}}
ON_DEV, ON_OPS = {"owner": "ops", "cluster": "dev"}, {"owner": "ops", "certificate": "web-tls"}
THERE = {**ON_DEV, "target_namespace": "app-a", "secret": "web-tls", "certificate": "web-tls"}
CASES = {
    "no success for two periods": Case("TLSSyncNoSuccess", {LAST: moment(0)}, 2 * HOUR, 2 * HOUR + 7, ON_DEV),
    "nothing at all was ever heard": Case("TLSSyncNoSuccess", {}, 2 * HOUR - 1, 2 * HOUR + 1, ON_DEV),
    "the series went away": Case("TLSSyncNoSuccess", {LAST: "0+3600x10 _x1000"}, HOUR, 3 * HOUR, ON_DEV),
    "another owner's success is none of ours": Case(
        "TLSSyncNoSuccess", {LAST.replace("ops", "stage"): "0+60x10000"}, HOUR, 2 * HOUR + 1, ON_DEV
    ),
    "a success every hour": Case("TLSSyncNoSuccess", {LAST: "0+60x10000"}, 9 * HOUR),
    "a success that only one of two sources knows": Case(
        "TLSSyncNoSuccess", {LAST: moment(0), LAST.replace("tls-sync", "watch"): "0+60x10000"}, 9 * HOUR
    ),
    "a success that the runs of a group alone tell": Case(
        "TLSSyncNoSuccess",
        {LAST: moment(0), LAST.replace("tls-sync", "tls-sync-group-eu"): "0+60x10000"},
        9 * HOUR,
    ),
    "a shorter period": Case(
        "TLSSyncNoSuccess",
        {LAST: moment(0)},
        20,
        23,
        ON_DEV,
        {"prometheusRule": {"enabled": True, "periodSeconds": 600}},
    ),
    "a cluster failed": Case("TLSSyncRunFailed", {SUCCESS: "1x9 0x99", **ENDED}, 9, 10, ON_DEV),
    "a cluster healed": Case("TLSSyncRunFailed", {SUCCESS: "0x9 1x99", **ENDED}, 10),
    "a cluster that the watcher healed since": Case(
        "TLSSyncRunFailed",
        {SUCCESS: "0x99", SUCCESS.replace("tls-sync", "watch"): "1x99", **ENDED, **LATER},
        9,
    ),
    "OPS could not be read": Case(
        "TLSSyncRunFailed",
        {
            f'tls_sync_last_run_failures{{{OWNER},code="Unreachable",{RUN}}}': "_x9 1x99",
            f"tls_sync_last_run_timestamp_seconds{{{OWNER},{RUN}}}": moment(0),
        },
        8,
        11,
        {"owner": "ops", "code": "Unreachable"},
    ),
    "the configuration could not be read": Case(
        "TLSSyncRunFailed",
        {
            f'tls_sync_last_run_failures{{owner="unknown",code="ConfigurationInvalid",{RUN}}}': "_x9 1x99",
            f'tls_sync_last_run_timestamp_seconds{{owner="unknown",{RUN}}}': moment(0),
        },
        8,
        11,
        {"owner": "unknown", "code": "ConfigurationInvalid"},
    ),
    "a copy is older": Case(
        "TLSSyncCopyOlder",
        {**certificate(1, 91), **certificate(0, 90, "copy", COPY)},
        HOUR - 1,
        HOUR + 1,
        THERE,
    ),
    "a copy is as new": Case(
        "TLSSyncCopyOlder", {**certificate(1, 91), **certificate(1, 91, "copy", COPY)}, DAY
    ),
    "a copy is as new for the watcher": Case(
        "TLSSyncCopyOlder",
        {
            **certificate(1, 91),
            **certificate(0, 90, "copy", COPY),
            **certificate(1, 91, "copy", f'{COPY},instance="watch"'),
        },
        DAY,
    ),
    "an address serves an older certificate": Case(
        "TLSSyncStoredNotServed", {SERVED: "1x999", **ASKED}, HOUR - 1, HOUR + 1, AT
    ),
    "an address serves what is stored": Case(
        "TLSSyncStoredNotServed", {SERVED.replace("older", "same"): "1x999", **ASKED}, DAY
    ),
    "an address that served an older one, and has reloaded": Case(
        "TLSSyncStoredNotServed", {SERVED: "1x30 stale _x99", **ASKED}, HOUR + 1
    ),
    "an address that nobody has asked for a day": Case(
        "TLSSyncStoredNotServed",
        {SERVED: "1x9999", next(iter(ASKED)): moment(0)},
        DAY + 1,
    ),
    "an address without an answer": Case(
        "TLSSyncStoredNotServed", {SERVED.replace("older", "none"): "1x999", **ASKED}, DAY
    ),
    "under three tenths of life": Case(
        "TLSSyncCertificateExpiring", certificate(-70, 20), 2 * HOUR - 1, 2 * HOUR + 1, ON_OPS
    ),
    "a renewal that is due": Case("TLSSyncCertificateExpiring", certificate(-60, 30, renewal=0), 2 * DAY),
    "a renewal that is late by a tenth": Case(
        "TLSSyncCertificateExpiring",
        certificate(-60, 30, renewal=0),
        3 * DAY + 2 * HOUR - 1,
        3 * DAY + 2 * HOUR + 2,
        ON_OPS,
    ),
    "renewed long after two thirds of life": Case(
        "TLSSyncCertificateExpiring", certificate(-80, 10, renewal=1), DAY
    ),
    "late, of those that live for six days": Case(
        "TLSSyncCertificateExpiring", certificate(-3.3, 2.7, renewal=-0.3), 2 * HOUR - 1, 2 * HOUR + 2, ON_OPS
    ),
    "late, and renewed": Case(
        "TLSSyncCertificateExpiring",
        {
            f"tls_sync_source_not_before_timestamp_seconds{{{WEB},{REST}}}": "0x40 86400x999",
            f"tls_sync_source_not_after_timestamp_seconds{{{WEB},{REST}}}": "90000x40 7776000x999",
            f"tls_sync_source_renewal_timestamp_seconds{{{WEB},{REST}}}": "0x40 5184000x999",
        },
        3 * HOUR,
    ),
    "young": Case("TLSSyncCertificateExpiring", certificate(0, 90), DAY),
    "under seven days on OPS": Case(
        "TLSSyncCertificateEndsSoon", certificate(-80, 6), HOUR - 1, HOUR + 1, ON_OPS
    ),
    "under seven days on a target alone": Case(
        "TLSSyncCertificateEndsSoon",
        {**certificate(0, 90), **certificate(-84, 6, "copy", COPY)},
        HOUR - 1,
        HOUR + 1,
        THERE,
    ),
    "past its end": Case("TLSSyncCertificateEndsSoon", certificate(-90, -1), HOUR - 1, HOUR + 1, ON_OPS),
    "eight days": Case("TLSSyncCertificateEndsSoon", certificate(-82, 8.5), DAY),
    "a copy of what is renewed in its last week": Case(
        "TLSSyncCertificateEndsSoon",
        {**certificate(-84, 6, renewal=1), **certificate(-84, 6, "copy", COPY, renewal=1)},
        2 * DAY,
    ),
    "half of the time after such a renewal": Case(
        "TLSSyncCertificateEndsSoon",
        certificate(-84, 6, renewal=1),
        7 * DAY // 2 + HOUR - 1,
        7 * DAY // 2 + HOUR + 2,
        ON_OPS,
    ),
    "short-lived, and young": Case("TLSSyncCertificateEndsSoon", certificate(0, 6), DAY),
    "short-lived, and near its expiry": Case(
        "TLSSyncCertificateEndsSoon", certificate(-5.1, 0.9), HOUR - 1, HOUR + 1, ON_OPS
    ),
    "short-lived, renewed at half its life, and young": Case(
        "TLSSyncCertificateEndsSoon", certificate(-3, 3, renewal=0), DAY
    ),
    "a credential expires within 72 hours": Case(
        "TLSSyncCredentialEnds",
        {f"tls_sync_credential_end_timestamp_seconds{{{DEV},{REST}}}": moment(3 * DAY + 10)},
        10,
        11,
        ON_DEV,
    ),
    "a credential that is renewed": Case(
        "TLSSyncCredentialEnds",
        {f"tls_sync_credential_end_timestamp_seconds{{{DEV},{REST}}}": "0x9 9999999x99"},
        11,
    ),
    "a refusal": Case(
        "TLSSyncRefusals",
        {REFUSED: "_x9 2x99", **ENDED},
        8,
        11,
        {**ON_DEV, "reason": "Immutable"},
    ),
    "a refusal that healed": Case(
        "TLSSyncRefusals",
        {REFUSED: "2x9 stale _x99", **ENDED},
        12,
    ),
    "a refusal that the watcher saw healed": Case("TLSSyncRefusals", {REFUSED: "2x99", **ENDED, **LATER}, 9),
    "the watcher hears nothing": Case(
        "TLSSyncWatcherStalled", {HEARD: moment(0)}, 3, 6, {"owner": "ops"}, WATCH
    ),
    "the watcher is gone": Case("TLSSyncWatcherStalled", {}, 1, 3, {"owner": "ops"}, WATCH),
    "the watcher hears": Case("TLSSyncWatcherStalled", {HEARD: "0+60x999"}, 99, values=WATCH),
}


def promtool(directory: Path, spec: Manifest, test: dict[str, Any]) -> None:
    demand()
    (directory / "rules.yaml").write_text(yaml.safe_dump(spec))
    (directory / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    """Each alert fires exactly from its moment on; where nothing is wrong, none fires."""
    spec = rules_with(case.values)
    of_this = [rule for rule in alerts(spec) if rule["alert"] == case.alert]
    spec = {"groups": [{"name": "tls-sync", "rules": of_this}]}
    expected: list[dict[str, Any]] = [
        {"eval_time": f"{case.quiet}m", "alertname": case.alert, "exp_alerts": []}
    ]
    if case.fires is not None:
        severity = of_this[0]["labels"]["severity"]
        alert = {"exp_labels": {**case.labels, "severity": severity}, "exp_annotations": {}}
        expected.append({"eval_time": f"{case.fires}m", "alertname": case.alert, "exp_alerts": [alert]})
    for rule in of_this:
        del rule["annotations"]  # their texts have a test of their own
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    promtool(tmp_path, spec, {"interval": "1m", "input_series": series, "alert_rule_test": expected})


def rules_with(values: dict[str, Any]) -> Manifest:
    """With the watcher's alert, also where the chart knows no watcher."""
    given = {**RULES, **values}
    done = run("template", "tls-sync", CHART, "--skip-schema-validation", values=given)
    assert done.returncode == 0, done.stderr
    manifests = [m for m in yaml.safe_load_all(done.stdout) if m]
    spec: Manifest = one(manifests, "PrometheusRule", "tls-sync")["spec"]
    return spec


def test_every_alert_is_tried() -> None:
    """Each alert of the chart has a case in which it fires and one in which it does not."""
    names = {rule["alert"] for rule in alerts(rules_with(WATCH))}
    assert names == {case.alert for case in CASES.values() if case.fires is not None}
    assert names == {case.alert for case in CASES.values() if case.fires is None}
    assert "TLSSyncWatcherStalled" not in {rule["alert"] for rule in alerts(rules())}


@pytest.mark.parametrize("runbook", ["runbook.md", "fr/incidents.md"])
def test_every_alert_has_a_section_of_the_runbook(runbook: str) -> None:
    """The runbook link of each leads to a heading of docs/runbook.md, and the French runbook has it, too."""
    for base in ("", "https://git.example.org/tls-sync/docs/runbook.md"):
        values = {**WATCH, "prometheusRule": {"enabled": True, "runbookUrl": base}}
        for rule in alerts(rules_with(values)):
            link = rule["annotations"].get("runbook_url") or rule["annotations"]["runbook"]
            path, _, fragment = link.partition("#")
            assert path.endswith(base or "docs/runbook.md")
            assert fragment in page(runbook).anchors
            assert fragment == anchor(rule["alert"])


def test_an_alert_has_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    """`runbook_url` is a whole address; that of a released chart is in its repository, at its version."""
    about = yaml.safe_load((FOLDER / "Chart.yaml").read_text())
    links = {}
    for owner in ("OWNER", "example"):
        copied = shutil.copytree(FOLDER, tmp_path / owner)
        home = f"https://github.com/{owner}/tls-sync"
        (copied / "Chart.yaml").write_text(yaml.safe_dump({**about, "home": home}))
        spec = one(render(RULES, chart=copied), "PrometheusRule", "tls-sync")["spec"]
        links[owner] = {rule["annotations"].get("runbook_url", "").partition("#")[0] for rule in alerts(spec)}
    page_there = f"https://github.com/example/tls-sync/blob/v{about['appVersion']}/docs/runbook.md"
    assert links == {"OWNER": {""}, "example": {page_there}}


def test_an_alert_says_what_it_is_about(tmp_path: Path) -> None:
    """The texts name the cluster, the Secret and the certificate, and how long something has been so."""
    series = {
        **certificate(1, 91),
        **certificate(0, 90, "copy", COPY),
        f'tls_sync_last_run_failures{{{OWNER},code="Unreachable",{RUN}}}': "1x999",
        f"tls_sync_last_run_timestamp_seconds{{{OWNER},{RUN}}}": moment(0),
        LAST: moment(0),
    }
    summaries = {
        "TLSSyncCopyOlder": "app-a/web-tls on dev is older than web-tls on OPS",
        "TLSSyncRunFailed": "The last run of tls-sync failed: Unreachable",
        "TLSSyncNoSuccess": "tls-sync has had no success for dev in two periods",
    }
    labels = {
        "TLSSyncCopyOlder": THERE,
        "TLSSyncRunFailed": {"owner": "ops", "code": "Unreachable"},
        "TLSSyncNoSuccess": ON_DEV,
    }
    spec, tests = rules(), []
    for rule in alerts(spec):
        rule["annotations"] = {"summary": rule["annotations"]["summary"]}
    for name, summary in summaries.items():
        severity = next(rule["labels"]["severity"] for rule in alerts(spec) if rule["alert"] == name)
        alert = {
            "exp_labels": {**labels[name], "severity": severity},
            "exp_annotations": {"summary": summary},
        }
        tests.append({"eval_time": "150m", "alertname": name, "exp_alerts": [alert]})
    given = [{"series": name, "values": values} for name, values in series.items()]
    promtool(tmp_path, spec, {"interval": "1m", "input_series": given, "alert_rule_test": tests})


def test_each_cluster_has_its_own_switch() -> None:
    """A cluster without any series is named, except for a suspended one."""
    document = yaml.safe_load((Path(CHART) / "ci" / "values.yaml").read_text())
    (dev,) = document["tlsSync"]["config"]["clusters"]
    names = {"dev": False, "rct": False, "old": True}
    clusters = [{**dev, "name": name, "suspended": off} for name, off in names.items()]
    config = {**document["tlsSync"]["config"], "clusters": clusters}
    missed = [
        rule["expr"] for rule in alerts(rules({"tlsSync": {"config": config}})) if "absent" in rule["expr"]
    ]
    assert missed == [
        f'absent(tls_sync_last_success_timestamp_seconds{{owner="ops", cluster="{name}"}})'
        for name in ("dev", "rct")
    ]


def test_rules_and_dashboard_are_off_by_default() -> None:
    """Without Prometheus's operator the default chart installs; labels are those of the values."""
    assert "PrometheusRule" not in {m["kind"] for m in render()}
    assert "tls-sync-dashboard" not in {m["metadata"]["name"] for m in render()}
    chosen = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    labels = one(render(chosen), "PrometheusRule", "tls-sync")["metadata"]["labels"]
    assert labels["release"] == "prometheus"
    assert labels["app.kubernetes.io/name"] == "tls-sync"


def test_grafanas_sidecar_finds_the_dashboard() -> None:
    """The ConfigMap has the label that the sidecar looks for, and the annotation with the folder, if any."""
    shown = one(render({"grafanaDashboard": {"enabled": True}}), "ConfigMap", "tls-sync-dashboard")
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert "annotations" not in shown["metadata"]
    chosen = {"labels": {"grafana_dashboard": None, "board": "yes"}, "folder": "TLS & certificates"}
    values = {"grafanaDashboard": {"enabled": True, **chosen, "folderAnnotation": "k8s-sidecar/folder"}}
    metadata = one(render(values), "ConfigMap", "tls-sync-dashboard")["metadata"]
    assert metadata["annotations"] == {"k8s-sidecar/folder": "TLS & certificates"}
    assert metadata["labels"]["board"] == "yes"
    assert "grafana_dashboard" not in metadata["labels"]


def test_the_operator_finds_the_watcher() -> None:
    """The optional PodMonitor selects the watcher's pods and names a port that they have."""
    chosen = {"enabled": True, "labels": {"release": "prometheus"}}
    assert "PodMonitor" not in {m["kind"] for m in render({"watch": {"enabled": True}})}
    manifests = render({"watch": {"enabled": True, "podMonitor": chosen}})
    monitor = one(manifests, "PodMonitor", "tls-sync-watch")
    pod = one(manifests, "Deployment", "tls-sync-watch")["spec"]["template"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_helm_finds_no_fault_in_them() -> None:
    """`helm lint --strict` is silent with all of it switched on."""
    values = {**RULES, "grafanaDashboard": {"enabled": True}, "metrics": {"pushgateway": {"url": URL}}}
    done = run("lint", CHART, "--strict", values=values)
    assert done.returncode == 0, done.stdout


def test_runs_learn_where_to_push() -> None:
    """The address is in the run's environment; password and CA are optional references."""
    pushgateway = {"url": URL, "authSecret": {"name": "pushgateway"}, "ca": {"configMap": "ca"}}
    template = work_pool(render({"metrics": {"pushgateway": pushgateway}}))
    spec = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    given = {variable["name"]: variable for variable in spec["containers"][0]["env"]}
    assert given["TLS_SYNC_PUSHGATEWAY"] == {"name": "TLS_SYNC_PUSHGATEWAY", "value": URL}
    assert given["TLS_SYNC_PUSHGATEWAY_AUTH"]["valueFrom"] == {
        "secretKeyRef": {"name": "pushgateway", "key": "auth-string", "optional": True}
    }
    assert given["TLS_SYNC_PUSHGATEWAY_CA"]["valueFrom"] == {
        "configMapKeyRef": {"name": "ca", "key": "ca.crt", "optional": True}
    }
    assert "PUSHGATEWAY" not in json.dumps(work_pool(render()))


def test_runs_alone_may_reach_the_pushgateway() -> None:
    """With limited egress, the Pushgateway's peers are required and allowed for runs."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    addresses = [{"cidr": "10.0.0.1/32", "ports": [6443]}]
    egress: dict[str, Any] = {"enabled": True, "apiServer": addresses, "targets": addresses}
    values: dict[str, Any] = {
        "metrics": {"pushgateway": {"url": URL}},
        "networkPolicy": {"egress": {**egress, "pushgateway": {"to": [peer]}}},
    }
    policies = {m["metadata"]["name"]: m for m in render(values) if m["kind"] == "NetworkPolicy"}
    reaching = {name for name, policy in policies.items() if "monitoring" in json.dumps(policy)}
    assert reaching == {"tls-sync-run"}
    assert {"to": [peer], "ports": [{"protocol": "TCP", "port": 9091}]} in policies["tls-sync-run"]["spec"][
        "egress"
    ]
    values["networkPolicy"]["egress"] = egress
    assert "networkPolicy.egress.pushgateway.to is empty" in refusal(values)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"metrics": {"pushgateway": {"url": "pushgateway:9091"}}}, "'/metrics/pushgateway/url'"),
        ({"metrics": {"pushgateway": {"url": "http://a:b@c:9091"}}}, "'/metrics/pushgateway/url'"),
        ({"metrics": {"pushgateway": {"url": "http://{{ x }}"}}}, "'/metrics/pushgateway/url'"),
        ({"metrics": {"pushgateway": {"password": "x"}}}, "'password' not allowed"),
        ({"metrics": {"pushgateway": {"authSecret": {"name": "No Name"}}}}, "/authSecret/name'"),
        ({"prometheusRule": {"enabled": "yes"}}, "'/prometheusRule/enabled'"),
        ({"prometheusRule": {"periodSeconds": 5}}, "'/prometheusRule/periodSeconds'"),
        ({"prometheusRule": {"periodSeconds": "1h"}}, "'/prometheusRule/periodSeconds'"),
        ({"prometheusRule": {"runbookUrl": "docs"}}, "'/prometheusRule/runbookUrl'"),
        ({"prometheusRule": {"labels": {"a": 1}}}, "'/prometheusRule/labels/a'"),
        ({"watch": {"podMonitor": {"labels": {"a": "b c"}}}}, "'/watch/podMonitor/labels/a'"),
        ({"prometheusRule": {"alerts": []}}, "'alerts' not allowed"),
        ({"grafanaDashboard": {"enabled": 1}}, "'/grafanaDashboard/enabled'"),
        ({"networkPolicy": {"egress": {"pushgateway": {"ports": [0]}}}}, "/pushgateway/ports/0'"),
    ],
    ids=str,
)
def test_nonsense_is_refused_by_name(values: dict[str, Any], place: str) -> None:
    """Helm stops before it sends anything, and names the wrong value."""
    assert place in refusal(values)
