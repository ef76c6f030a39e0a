"""The optional ways in: an Ingress or an HTTPRoute for the UI, and who scrapes the watcher."""

from typing import Any

import pytest

from tests.support.chart import EXISTING, NONE, Manifest, one, pods, refusal, render

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

CONTROLLER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
LISTENER = {"name": "gateway", "namespace": "gateway-system", "sectionName": "https"}
HOST = "prefect.example.org"
NOTES = {"cert-manager.io/cluster-issuer": "letsencrypt"}
INGRESS = {"enabled": True, "className": "nginx", "host": HOST, "tlsSecret": "ui-tls", "annotations": NOTES}
ROUTE = {"enabled": True, "parentRefs": [LISTENER], "hostnames": [HOST], "annotations": NOTES}
BOTH: dict[str, dict[str, Any]] = {"ingress": INGRESS, "httpRoute": ROUTE}
WAYS = pytest.mark.parametrize("way", BOTH)


def exposed(way: dict[str, Any], **prefect: Any) -> dict[str, Any]:
    """Values with this way in, and these of Prefect."""
    return {"prefect": {"server": way, **prefect}, "networkPolicy": {"serverFrom": [CONTROLLER]}}


def port_of_the_server(manifests: list[Manifest]) -> dict[str, Any]:
    (port,) = one(manifests, "Service", "tls-sync-server")["spec"]["ports"]
    return dict(port)


def test_the_ingress_leads_to_the_server_over_tls() -> None:
    """One host with TLS, all of its paths to the server's Service, and nothing without TLS."""
    manifests = render(exposed({"ingress": INGRESS}))
    ingress = one(manifests, "Ingress", "tls-sync-server")
    assert ingress["metadata"]["annotations"] == NOTES
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "ui-tls"}]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = path["backend"]["service"]
    assert (rule["host"], path["path"], path["pathType"]) == (HOST, "/", "Prefix")
    assert service == {"name": "tls-sync-server", "port": {"name": port_of_the_server(manifests)["name"]}}


def test_an_ingress_without_a_secret_still_has_tls() -> None:
    """The controller's own certificate serves the host; the class is the cluster's default."""
    manifests = render(exposed({"ingress": {"enabled": True, "host": HOST}}))
    spec = one(manifests, "Ingress", "tls-sync-server")["spec"]
    assert spec["tls"] == [{"hosts": [HOST]}]
    assert "ingressClassName" not in spec


def test_the_route_leads_to_the_server() -> None:
    """The listeners and hostnames of the values, and the server's Service."""
    manifests = render(exposed({"httpRoute": ROUTE}))
    route = one(manifests, "HTTPRoute", "tls-sync-server")
    assert route["metadata"]["annotations"] == NOTES
    assert (route["spec"]["parentRefs"], route["spec"]["hostnames"]) == ([LISTENER], [HOST])
    (rule,) = route["spec"]["rules"]
    port = port_of_the_server(manifests)["port"]
    assert rule["backendRefs"] == [{"name": "tls-sync-server", "port": port}]


@WAYS
def test_the_controller_is_let_in(way: str) -> None:
    """The server's network policy has the peers of serverFrom; where there are none, Helm refuses."""
    values = exposed({way: BOTH[way]})
    policy = one(render(values), "NetworkPolicy", "tls-sync-server")
    (rule,) = policy["spec"]["ingress"]
    assert CONTROLLER in rule["from"]
    said = refusal({**values, "networkPolicy": {"serverFrom": []}})
    assert f"prefect.server.{way} is enabled, and networkPolicy.serverFrom is empty" in said
    assert render({**values, "networkPolicy": {"enabled": False}})


@WAYS
def test_no_way_in_without_a_password(way: str) -> None:
    """A server that anybody could start runs on is not opened to more people."""
    said = refusal(exposed({way: BOTH[way]}, authSecret=NONE, insecureNoPassword=True))
    assert f"prefect.server.{way} would let everybody who reaches it run code" in said


@WAYS
def test_an_existing_server_has_its_own_way_in(way: str) -> None:
    """Without the chart's server there is nothing to lead to, and Helm says so."""
    values = exposed({way: BOTH[way], "enabled": False}, apiUrl=EXISTING["apiUrl"])
    assert f"prefect.server.{way} is for the server of this chart" in refusal(values)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ({"ingress": INGRESS, "httpRoute": ROUTE}, "are both enabled, and do the same"),
        ({"ingress": {**INGRESS, "host": ""}}, "prefect.server.ingress.host is empty"),
        ({"ingress": {**INGRESS, "host": "https://x"}}, "/ingress/host'"),
        ({"ingress": {**INGRESS, "tls": False}}, "'tls' not allowed"),
        ({"httpRoute": {**ROUTE, "hostnames": []}}, "httpRoute needs parentRefs and hostnames"),
        ({"httpRoute": {**ROUTE, "parentRefs": []}}, "httpRoute needs parentRefs and hostnames"),
        ({"httpRoute": {**ROUTE, "parentRefs": [{"name": "gateway"}]}}, "/parentRefs/0'"),
    ],
    ids=str,
)
def test_a_way_in_that_can_not_work_is_refused(way: dict[str, Any], words: str) -> None:
    """Helm names the value: both at once, no host, or a route at all listeners, also those without TLS."""
    assert words in refusal(exposed(way))


def test_nothing_is_exposed_by_default() -> None:
    """Neither kind is there by default, and no Service but the server's, which the network policy closes."""
    kinds = {m["kind"] for m in render({"watch": {"enabled": True}})}
    assert kinds & {"Ingress", "HTTPRoute", "ServiceMonitor", "PodMonitor"} == set()
    services = [m["metadata"]["name"] for m in render({"watch": {"enabled": True}}) if m["kind"] == "Service"]
    assert services == ["tls-sync-server"]


def test_a_service_monitor_finds_each_watcher() -> None:
    """It selects a Service of its own, which selects the watcher's pods by a port that they have."""
    chosen = {"enabled": True, "labels": {"release": "prometheus"}}
    manifests = render({"watch": {"enabled": True, "serviceMonitor": chosen}})
    monitor, service = (one(manifests, kind, "tls-sync-watch") for kind in ("ServiceMonitor", "Service"))
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [m for m in manifests if m["kind"] == "Service" and wanted <= m["metadata"]["labels"].items()]
    assert found == [service]
    (endpoint,), (port,) = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    pod = pods(manifests)["tls-sync-watch"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert port["targetPort"] in {one["name"] for one in pod["spec"]["containers"][0]["ports"]}
    assert service["spec"]["clusterIP"] == "None"


def test_the_watcher_is_scraped_once() -> None:
    """Both kinds of monitor at once would double its series: Helm refuses them."""
    both = {"enabled": True, "podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    assert "would scrape each watcher twice" in refusal({"watch": both})
