"""The configuration: valid and invalid values; a message lists every fault with its path and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import load_config, parse_config
from tasks.config.routes import Route, RoutedCopy
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.models import SecretRef
from tasks.domain.parameters import RunParameters
from tasks.domain.patterns import PatternIndex
from tasks.runtime.yaml_file import YamlError, parse_yaml
from tests.support.factories import OPS_ID, cluster, law, route

EXAMPLE = b"""
owner: ops                          # stamped on every copy; one per OPS cluster
source:
  namespace: certificates-ops
  context: null                     # null: the cluster the run is in; or a context of the kubeconfig
  selector: {}                      # further label selector, if wanted
clusters:
  - name: dev
    context: cluster-dev            # in the kubeconfig
    protected: false                # true (PRD): clusterId required, excess rights refused
    clusterId: 0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11
    suspended: false                # true: left out, and said so in every report
    hostnames: ["*.dev.example.org"]
    routes:                         # default deny: what no route names goes nowhere
      - certificates: [homarr-dev-tls, "headlamp-*"]
        namespaces: [homarr-dev]
      - certificates: [wildcard-dev-tls]
        namespaces: [homarr-dev, headlamp-dev]
        name: wildcard-tls          # optional: another name on the target
  - name: rct
    context: cluster-rct
    hostnames: ["*.rct.example.org"]
    routes:
      - certificates: [homarr-rct-tls]
        namespaces: [homarr-rct]
"""
DEV, RCT = ("clusters", 0), ("clusters", 1)
ROUTE = (*DEV, "routes", 0)
HERE = "clusters[0] (dev)"
REMOVE = object()

LABEL = "use a DNS-1123 label: a-z, 0-9 and -, at most 63"
NAMESPACE = f"not a namespace; {LABEL}"
NAME = "not the name of a Secret; use a DNS-1123 subdomain: a-z, 0-9, - and ."
PATTERN = "neither the name of a Secret nor a glob of names (only * is special)"
HOSTNAME = "not a DNS name; write it in lower case, * for a whole label: *.example.org"
ADDRESS = "not an address; write host or host:port in lower case: ingress.example.org:443"
SELECTOR = "not a label and its value, as in `team: web`"
PROTECTED = (
    "a protected namespace (kube-*, default, cert-manager, argocd, tls-sync), "
    "to which nothing is sent; route to the application's own namespace"
)
RUNNER = "Input should be 'threads' or 'dask'"
SHARE = "must be a number, without quotes; it is a share: 0.2 for 20 %"
UNSEEN = "not the name of a context; it has a character that can't be seen"
REQUIRED, UNKNOWN = "is required; add it", "unknown key; correct or remove it"
DISCOVER = "`discover` where clusters announce themselves on OPS"
NO_CONTEXT = "is required; add it, or `credentials` where each has its own Secret"
TEXT, TRUTH, LIST = (
    "must be text; put it in quotes",
    "must be true or false, without quotes",
    "must be a list",
)
MAPPING, EMPTY = "must be a mapping", "must not be empty; give at least one, or remove the block"
EMPTY_TEXT = "must not be empty"
EXAMPLE_UID, UPPER_ID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11", "0C2F9A52-5A4E-4F0E-9D0B-6F1F0C6F2B12"
FORMER_ID = "71aa9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"
RENAME = "goes with exactly one certificate, without a glob; split the route"
PIN = "is required where protected is true: the uid of its namespace kube-system"

Path_ = tuple[int | str, ...]
Edit = tuple[Path_, object]


def example(*edits: Edit) -> dict[str, Any]:
    """The example with other values at some paths."""
    document: dict[str, Any] = parse_yaml(EXAMPLE)
    for path, value in edits:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if value is REMOVE:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    return document


def refusal(document: object) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(document)
    return str(error.value)


def message(*faults: str) -> str:
    count = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    return "\n  ".join([count, *faults])


def test_example_is_valid() -> None:
    """The example is valid, and its values are read as its comments say."""
    dev = Cluster.model_validate(
        {
            "name": "dev",
            "context": "cluster-dev",
            "clusterId": EXAMPLE_UID,
            "hostnames": ["*.dev.example.org"],
            "routes": [
                route(["homarr-dev-tls", "headlamp-*"], ["homarr-dev"]),
                route(["wildcard-dev-tls"], ["homarr-dev", "headlamp-dev"], "wildcard-tls"),
            ],
        }
    )
    parsed = parse_config(parse_yaml(EXAMPLE))
    assert parsed.owner == "ops"
    assert parsed.source == Source.model_validate({"namespace": "certificates-ops"})
    assert parsed.clusters[0] == dev
    assert [one.name for one in parsed.clusters] == ["dev", "rct"]


def writes_again(number: int, namespace: str, names: str) -> str:
    return (
        f"{HERE}.routes[{number}]: writes a Secret in {namespace} that is written already ({names}); "
        "keep one of them"
    )


def no_uid(path: str, option: str = "") -> str:
    command = f"kubectl {option}get namespace kube-system -o jsonpath='{{.metadata.uid}}'"
    return f"{path}: not the uid of a namespace, as in {EXAMPLE_UID}; `{command}` prints it"


FAULTS: dict[str, tuple[list[Edit], list[str]]] = {
    # keys
    "a key is unknown at the top": ([(("force",), True)], [f"force: {UNKNOWN}"]),
    "a key of source is unknown": ([(("source", "Selector"), {})], [f"source.Selector: {UNKNOWN}"]),
    "a key of a cluster is unknown": ([((*DEV, "token"), "canary")], [f"{HERE}.token: {UNKNOWN}"]),
    "a key of a cluster is spelt as in Python": (
        [((*DEV, "cluster_id"), "x")],
        [f"{HERE}.cluster_id: {UNKNOWN}"],
    ),
    "a key of a route is unknown": ([((*ROUTE, "prune"), True)], [f"{HERE}.routes[0].prune: {UNKNOWN}"]),
    "a pruned cluster is not pinned, nor is OPS": (
        [((*DEV, "prune"), True), ((*DEV, "clusterId"), REMOVE)],
        [
            f"{HERE}.clusterId: is required where prune is true: the uid of its namespace kube-system",
            (
                "source.clusterId: is required where a cluster has prune: true: "
                "the uid of OPS's namespace kube-system"
            ),
        ],
    ),
    "a former OPS is given twice, is the present one, or is no text": (
        [
            (("source", "clusterId"), OPS_ID),
            (("source", "formerClusterIds"), [FORMER_ID, OPS_ID, FORMER_ID, "", 5]),
        ],
        [
            f"source.formerClusterIds[3]: {EMPTY_TEXT}",
            f"source.formerClusterIds[4]: {TEXT}",
            "source.formerClusterIds[1]: is the present clusterId; give those of clusters that it replaces",
            "source.formerClusterIds[2]: is there twice; keep one of them",
        ],
    ),
    "there is a former OPS, and the present one is not pinned": (
        [(("source", "formerClusterIds"), [FORMER_ID])],
        ["source.clusterId: is required with formerClusterIds: the uid of OPS's namespace kube-system"],
    ),
    "the former OPS is no list": (
        [(("source", "formerClusterIds"), "a")],
        [f"source.formerClusterIds: {LIST}"],
    ),
    "owner is missing": ([(("owner",), REMOVE)], [f"owner: {REQUIRED}"]),
    "source is missing": ([(("source",), REMOVE)], [f"source: {REQUIRED}"]),
    "source.namespace is missing": ([(("source", "namespace"), REMOVE)], [f"source.namespace: {REQUIRED}"]),
    "clusters are missing": ([(("clusters",), REMOVE)], [f"clusters: {REQUIRED}, or {DISCOVER}"]),
    "a cluster has no name": ([((*DEV, "name"), REMOVE)], [f"clusters[0].name: {REQUIRED}"]),
    "a cluster has no context": ([((*DEV, "context"), REMOVE)], [f"{HERE}.context: {NO_CONTEXT}"]),
    "a cluster has no hostnames": ([((*DEV, "hostnames"), REMOVE)], [f"{HERE}.hostnames: {REQUIRED}"]),
    "a cluster has no routes": ([((*DEV, "routes"), REMOVE)], [f"{HERE}.routes: {REQUIRED}"]),
    "a route has no certificates": (
        [((*ROUTE, "certificates"), REMOVE)],
        [f"{HERE}.routes[0].certificates: {REQUIRED}"],
    ),
    "a route has no namespaces": (
        [((*ROUTE, "namespaces"), REMOVE)],
        [f"{HERE}.routes[0].namespaces: {REQUIRED}"],
    ),
    # kinds of values
    "protected is a text": ([((*DEV, "protected"), "true")], [f"{HERE}.protected: {TRUTH}"]),
    "suspended is a number": ([((*DEV, "suspended"), 1)], [f"{HERE}.suspended: {TRUTH}"]),
    "suspended is null": ([((*DEV, "suspended"), None)], [f"{HERE}.suspended: {TRUTH}"]),
    "allowSelfSigned is a text": (
        [(("source", "allowSelfSigned"), "yes")],
        [f"source.allowSelfSigned: {TRUTH}"],
    ),
    "owner is a number": ([(("owner",), 5)], [f"owner: {TEXT}"]),
    "clusterId is a number": ([((*DEV, "clusterId"), 12)], [f"{HERE}.clusterId: {TEXT}"]),
    "a certificate is a number": (
        [((*ROUTE, "certificates"), [5])],
        [f"{HERE}.routes[0].certificates[0]: {TEXT}"],
    ),
    "certificates are one text": (
        [((*ROUTE, "certificates"), "homarr-dev-tls")],
        [f"{HERE}.routes[0].certificates: {LIST}"],
    ),
    "namespaces are a mapping": (
        [((*ROUTE, "namespaces"), {"a": 1})],
        [f"{HERE}.routes[0].namespaces: {LIST}"],
    ),
    "clusters are a mapping": ([(("clusters",), {"dev": {}})], [f"clusters: {LIST}"]),
    "clusters are null": ([(("clusters",), None)], [f"clusters: {LIST}"]),
    "a cluster is a text": ([(DEV, "canary")], [f"clusters[0]: {MAPPING}"]),
    "a route is null": ([(ROUTE, None)], [f"{HERE}.routes[0]: {MAPPING}"]),
    "source is a text": ([(("source",), "canary")], [f"source: {MAPPING}"]),
    "the selector is a list": ([(("source", "selector"), ["a=b"])], [f"source.selector: {MAPPING}"]),
    "the selector has a number": (
        [(("source", "selector"), {"a": 5})],
        [f"source.selector.a: {TEXT}"],
    ),
    # emptiness
    "there are no clusters": ([(("clusters",), [])], [f"clusters: {EMPTY}"]),
    "there are no hostnames": ([((*DEV, "hostnames"), [])], [f"{HERE}.hostnames: {EMPTY}"]),
    "there are no routes": ([((*DEV, "routes"), [])], [f"{HERE}.routes: {EMPTY}"]),
    "a route sends nothing": (
        [((*ROUTE, "certificates"), [])],
        [f"{HERE}.routes[0].certificates: {EMPTY}"],
    ),
    "a route leads nowhere": (
        [((*ROUTE, "namespaces"), [])],
        [f"{HERE}.routes[0].namespaces: {EMPTY}"],
    ),
    "a context is empty": ([((*DEV, "context"), "")], [f"{HERE}.context: {EMPTY_TEXT}"]),
    "source.context is empty": ([(("source", "context"), "")], [f"source.context: {EMPTY_TEXT}"]),
    "clusterId is no uid, and a context has to be quoted": (
        [((*DEV, "clusterId"), "abc"), ((*DEV, "context"), "it's dev"), ((*RCT, "clusterId"), UPPER_ID)],
        [
            no_uid(f"{HERE}.clusterId", """--context 'it'"'"'s dev' """),
            no_uid("clusters[1] (rct).clusterId", "--context cluster-rct "),
        ],
    ),
    "an id of OPS is no uid": (
        [(("source", "clusterId"), f"{OPS_ID}\n"), (("source", "formerClusterIds"), ["0" * 36])],
        [no_uid("source.clusterId"), no_uid("source.formerClusterIds[0]")],
    ),
    "clusterId is empty": ([((*DEV, "clusterId"), "")], [f"{HERE}.clusterId: {EMPTY_TEXT}"]),
    # names
    "owner is no label": ([(("owner",), "Ops")], [f"owner: {LABEL}"]),
    "a cluster's name is no label": (
        [((*DEV, "name"), "d.ev")],
        [f"clusters[0].name: {LABEL}"],
    ),
    "source.namespace is no namespace": (
        [(("source", "namespace"), "../x")],
        [f"source.namespace: {NAMESPACE}"],
    ),
    "a namespace is the parent folder": (
        [((*ROUTE, "namespaces"), [".."])],
        [f"{HERE}.routes[0].namespaces[0]: {NAMESPACE}"],
    ),
    "a namespace is a glob": (
        [((*ROUTE, "namespaces"), ["homarr-*"])],
        [f"{HERE}.routes[0].namespaces[0]: {NAMESPACE}"],
    ),
    "a namespace has 64 characters": (
        [((*ROUTE, "namespaces"), ["a" * 64])],
        [f"{HERE}.routes[0].namespaces[0]: {NAMESPACE}"],
    ),
    "a certificate has an underscore": (
        [((*ROUTE, "certificates"), ["a_b"])],
        [f"{HERE}.routes[0].certificates[0]: {PATTERN}"],
    ),
    "a certificate is a regular expression": (
        [((*ROUTE, "certificates"), ["homarr.+"])],
        [f"{HERE}.routes[0].certificates[0]: {PATTERN}"],
    ),
    "a glob has a question mark": (
        [((*ROUTE, "certificates"), ["homarr-?*"])],
        [f"{HERE}.routes[0].certificates[0]: {PATTERN}"],
    ),
    "a certificate is empty": (
        [((*ROUTE, "certificates"), [""])],
        [f"{HERE}.routes[0].certificates[0]: {PATTERN}"],
    ),
    "a new name is no name": (
        [((*DEV, "routes", 1, "name"), "..")],
        [f"{HERE}.routes[1].name: {NAME}"],
    ),
    "a hostname is everything": ([((*DEV, "hostnames"), ["*"])], [f"{HERE}.hostnames[0]: {HOSTNAME}"]),
    "a hostname is a top-level domain": (
        [((*DEV, "hostnames"), ["*.org"])],
        [f"{HERE}.hostnames[0]: {HOSTNAME}"],
    ),
    "a hostname has upper case": (
        [((*DEV, "hostnames"), ["a.Example.org"])],
        [f"{HERE}.hostnames[0]: {HOSTNAME}"],
    ),
    # what a hostile or hasty hand writes
    "a type is a list": ([(("taskRunner",), {"type": ["dask"]})], [f"taskRunner.type: {RUNNER}"]),
    "a type is a mapping": ([(("taskRunner",), {"type": {"a": "b"}})], [f"taskRunner.type: {RUNNER}"]),
    "waves wait for what nobody knows": (
        [(("waves",), {"verify": "running", "maxFailedShare": 2})],
        [
            "waves.maxFailedShare: must be below 1; it is a share: 0.2 for 20 %",
            "waves.verify: Input should be 'served'",
        ],
    ),
    "an address has no port": (
        [(("taskRunner",), {"type": "dask", "address": "tcp://[::1]"})],
        ["taskRunner.address: not an address for dask; write it as in tcp://scheduler:8786"],
    ),
    "a share is yes or no": ([(("waves",), {"maxFailedShare": False})], [f"waves.maxFailedShare: {SHARE}"]),
    "a share is a text": ([(("waves",), {"maxFailedShare": "0.3"})], [f"waves.maxFailedShare: {SHARE}"]),
    "a share is in percent": ([(("waves",), {"maxFailedShare": "50%"})], [f"waves.maxFailedShare: {SHARE}"]),
    "a context steers a terminal": ([((*DEV, "context"), "a\x1b[2J")], [f"{HERE}.context: {UNSEEN}"]),
    "the source's context steers a terminal": (
        [(("source", "context"), "a\nb")],
        [f"source.context: {UNSEEN}"],
    ),
    "an unknown key steers a terminal": ([(("a\x1b[2J\nb",), 1)], [f"a?[2J?b: {UNKNOWN}"]),
    "an address is a URL": (
        [((*DEV, "routes", 0, "served"), ["https://web.example.org"])],
        [f"{HERE}.routes[0].served[0]: {ADDRESS}"],
    ),
    "a selector's key is no label": (
        [(("source", "selector"), {"a b": "c"})],
        [f"source.selector: {SELECTOR}"],
    ),
    "a selector's value carries a second selector": (
        [(("source", "selector"), {"team": "web,x!=y"})],
        [f"source.selector: {SELECTOR}"],
    ),
    # protected clusters
    "a protected cluster is not pinned": (
        [((*RCT, "protected"), True)],
        [f"clusters[1] (rct).clusterId: {PIN}"],
    ),
    # two of a kind
    "two clusters have one name": (
        [((*RCT, "name"), "dev")],
        ["clusters[1] (dev).name: the name of another cluster, too; give each its own"],
    ),
    "two clusters are on one context": (
        [((*RCT, "context"), "cluster-dev")],
        [f"clusters[1] (rct).context: the context of another cluster, too, {HERE}; correct one of both"],
    ),
    "two clusters have one identity": (
        [((*RCT, "clusterId"), EXAMPLE_UID)],
        [f"clusters[1] (rct).clusterId: the clusterId of another cluster, too, {HERE}; correct one of both"],
    ),
    # two ways to write one Secret
    "a new name goes with a glob": (
        [((*DEV, "routes", 1, "certificates"), ["wildcard-*"])],
        [f"{HERE}.routes[1].name: {RENAME}"],
    ),
    "a new name goes with two certificates": (
        [((*DEV, "routes", 1, "certificates"), ["a", "b"])],
        [f"{HERE}.routes[1].name: {RENAME}"],
    ),
    "two routes send one certificate": (
        [((*DEV, "routes", 1), route(["homarr-dev-tls"], ["homarr-dev"]))],
        [writes_again(1, "homarr-dev", "homarr-dev-tls")],
    ),
    "a glob takes in another route's certificate": (
        [((*DEV, "routes", 1), route(["*-dev-tls"], ["homarr-dev"]))],
        [
            writes_again(1, "homarr-dev", "homarr-dev-tls and *-dev-tls"),
            writes_again(1, "homarr-dev", "headlamp-* and *-dev-tls"),
        ],
    ),
    "two globs could take in one certificate": (
        [((*DEV, "routes", 1), route(["*-extra"], ["headlamp-dev", "homarr-dev"]))],
        [writes_again(1, "homarr-dev", "headlamp-* and *-extra")],
    ),
    "a glob takes in another route's new name": (
        [((*DEV, "routes", 1, "name"), "headlamp-tls")],
        [writes_again(1, "homarr-dev", "headlamp-* and headlamp-tls")],
    ),
    "two routes give one new name": (
        [((*DEV, "routes", 0), route(["other-tls"], ["headlamp-dev"], "wildcard-tls"))],
        [writes_again(1, "headlamp-dev", "wildcard-tls")],
    ),
    "a route names one namespace twice": (
        [((*DEV, "routes"), [route(["a"], ["homarr-dev", "homarr-dev"])])],
        [writes_again(0, "homarr-dev", "a")],
    ),
    "a route names one certificate twice": (
        [((*DEV, "routes"), [route(["a", "*"], ["homarr-dev"])])],
        [writes_again(0, "homarr-dev", "a and *")],
    ),
}


@pytest.mark.parametrize(("edits", "faults"), FAULTS.values(), ids=FAULTS)
def test_config_is_refused_when(edits: list[Edit], faults: list[str]) -> None:
    """Each fault is one line: its path in the file, the fault and the remedy."""
    assert refusal(example(*edits)) == message(*faults)


@pytest.mark.parametrize(
    "namespace",
    [
        "default",
        "cert-manager",
        "argocd",
        "tls-sync",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "kube-x",
    ],
)
def test_config_is_refused_when_a_route_leads_to(namespace: str) -> None:
    """No route may lead to the namespaces of the cluster and of the tools that manage it."""
    document = example(((*ROUTE, "namespaces"), ["homarr-dev", namespace]))
    assert refusal(document) == message(f"{HERE}.routes[0].namespaces[1]: {PROTECTED}")


@pytest.mark.parametrize("document", [None, [], "owner: ops", 5, True])
def test_config_is_refused_when_it_is_no_mapping(document: object) -> None:
    """A document that is not a mapping is refused with the keys that it needs."""
    assert refusal(document) == "the file must be a mapping with owner, source and clusters"


def test_config_tells_as_many_faults_as_a_person_reads() -> None:
    """Faults above the limit are counted: a file of another kind could have a hundred thousand."""
    told = refusal(example(*(((f"key-{number}",), 1) for number in range(1_500)))).splitlines()
    assert told[0] == "1500 faults"
    assert told[-1] == "  and 1,400 more"
    assert len(told) == 102


def test_config_with_thousands_of_names_in_a_namespace_is_read() -> None:
    """Names without globs are not compared in pairs, which took gigabytes."""
    sent = [f"{number:05}-tls" for number in range(10_000)]
    document = example(((*DEV, "routes"), [route(sent, ["homarr-dev"])]))
    assert len(parse_config(document).clusters[0].routes[0].certificates) == 10_000
    sent = [f"*{number:05}*" for number in range(1_000)]
    told = refusal(example(((*DEV, "routes"), [route(sent, ["homarr-dev"])]))).splitlines()
    assert told[0] == "100 faults"


def test_config_tells_all_faults_of_all_clusters_at_once() -> None:
    """A message has every fault of the file, including those between clusters."""
    document = example(
        (("owner",), REMOVE),
        (("source", "namespaces"), ["x"]),
        ((*DEV, "protected"), "true"),
        ((*DEV, "hostnames"), []),
        ((*ROUTE, "namespaces"), ["kube-system", "Homarr"]),
        ((*RCT, "context"), "cluster-dev"),
        ((*RCT, "protected"), True),
        ((*RCT, "routes"), [route(["a*"], ["web"]), route(["*b"], ["web"])]),
    )
    there = "clusters[1] (rct)"
    told = refusal(document).splitlines()
    assert told[0] == "9 faults"
    assert sorted(line.strip() for line in told[1:]) == sorted(
        [
            f"owner: {REQUIRED}",
            f"source.namespaces: {UNKNOWN}",
            f"{HERE}.protected: {TRUTH}",
            f"{HERE}.hostnames: {EMPTY}",
            f"{HERE}.routes[0].namespaces[0]: {PROTECTED}",
            f"{HERE}.routes[0].namespaces[1]: {NAMESPACE}",
            f"{there}.context: the context of another cluster, too, {HERE}; correct one of both",
            f"{there}.clusterId: {PIN}",
            writes_again(1, "web", "a* and *b").replace(HERE, there),
        ]
    )


SECRET = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNhbmFyeSJ9.canary"


@pytest.mark.parametrize(
    "path",
    [
        *(
            pytest.param(path, id=".".join(map(str, path)))
            for path in [
                ("owner",),
                ("source",),
                ("source", "namespace"),
                ("source", "selector"),
                ("source", "token"),
                DEV,
                (*DEV, "token"),
                (*DEV, "protected"),
                (*DEV, "hostnames"),
                (*DEV, "hostnames", 0),
                (*DEV, "routes"),
                ROUTE,
                (*ROUTE, "certificates"),
                (*ROUTE, "certificates", 0),
                (*ROUTE, "namespaces", 0),
                (*DEV, "routes", 1, "name"),
            ]
        ),
        pytest.param((*DEV, "name"), id="clusters.0.name"),
    ],
)
def test_config_quotes_no_value(path: Path_) -> None:
    """A token or key pasted into the wrong place is refused without being repeated."""
    assert "canary" not in refusal(example((path, SECRET)))


def test_config_quotes_no_value_when_it_is_written_twice() -> None:
    """Two routes with the same pasted secret do not show it."""
    twice = [route([SECRET], ["homarr-dev"]), route([SECRET], ["homarr-dev"])]
    assert "canary" not in refusal(example(((*DEV, "routes"), twice)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(
            (*ROUTE, "certificates"), b"!!set {wildcard-tls}", id="a set of certificates that overlap"
        ),
        pytest.param(("owner",), b"!!binary b3Bz", id="an owner of bytes"),
    ],
)
def test_config_takes_lists_and_texts_only(path: Path_, value: bytes) -> None:
    """Values of a type that the rules between values ignore are refused."""
    with pytest.raises((ConfigError, YamlError)):
        parse_config(example((path, parse_yaml(value))))


@pytest.mark.parametrize(
    "edits",
    [
        pytest.param([((*DEV, "protected"), True)], id="a protected cluster that is pinned"),
        pytest.param(
            [((*DEV, "clusterId"), None), ((*RCT, "clusterId"), None)], id="two clusters that are not pinned"
        ),
        pytest.param(
            [((*DEV, "routes", 1, "namespaces"), ["headlamp-dev"])], id="one certificate, two namespaces"
        ),
        pytest.param(
            [((*RCT, "routes", 0, "namespaces"), ["homarr-dev"])], id="one namespace on two clusters"
        ),
        pytest.param([((*DEV, "routes", 1, "name"), "homarr-tls")], id="a new name that nothing else writes"),
        pytest.param([(("source", "selector"), {"example.org/team": "Web_1", "empty": ""})], id="a selector"),
        pytest.param([(("source", "context"), "cluster-ops")], id="a source with a context"),
        pytest.param([((*ROUTE, "certificates"), ["homarr-*", "headlamp-*"])], id="globs that can't meet"),
    ],
)
def test_config_is_valid_with(edits: list[Edit]) -> None:
    """These variations are valid."""
    assert isinstance(parse_config(example(*edits)), SyncConfig)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", "*", "..", "kube-system", "a.org"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "routes"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(value: object, path: Path_ = ()) -> list[Path_]:
    """All paths into a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, one in inner for p in paths(one, (*path, key)))]


def replaced(value: object, path: Path_, other: object) -> object:
    """A copy of a document with another value at a path, if the path still leads somewhere."""
    if not path:
        return other
    if isinstance(value, dict):
        return {k: replaced(v, path[1:], other) if k == path[0] else v for k, v in value.items()}
    if isinstance(value, list):
        return [replaced(v, path[1:], other) if n == path[0] else v for n, v in enumerate(value)]
    return value


def faults(document: object) -> str:
    try:
        parse_config(document)
    except ConfigError as error:
        return str(error)
    return ""


EDITS = st.lists(st.tuples(st.sampled_from(paths(example())[1:]), JUNK), min_size=1, max_size=3)


@law
@given(edits=EDITS)
def test_config_is_valid_or_refused_whatever_it_says(edits: list[Edit]) -> None:
    """Any value at any path gives a configuration or a ConfigError with at least one fault."""
    document: Any = example()
    for path, value in edits:
        document = replaced(document, path, value)
    told = faults(document)
    assert not told or "\n  " in told


# -- routing ---------------------------------------------------------------------------------------


def test_route_wants_literal_names_and_what_globs_find() -> None:
    """A literal name is routed even if OPS does not have it, names of a glob only if it does."""
    sent = Route(certificates=("homarr-tls", "headlamp-*"), namespaces=("web",))
    wanted = sent.routed_copies(PatternIndex({"headlamp-a", "zzz"}))
    assert sorted((one.certificate, one.literal) for one in wanted) == [
        ("headlamp-a", False),
        ("homarr-tls", True),
    ]


def test_cluster_wants_are_sorted_by_target() -> None:
    """The copies of a cluster are sorted by namespace and name, with the names of their routes."""
    to = cluster(route(["b", "a"], ["web", "app"]), route(["x"], ["app"], "c"))

    def want(namespace: str, name: str, certificate: str) -> RoutedCopy:
        return RoutedCopy(
            target=SecretRef(namespace=namespace, name=name), certificate=certificate, literal=True
        )

    assert to.routed_copies(PatternIndex(())) == (
        want("app", "a", "a"),
        want("app", "b", "b"),
        want("app", "c", "x"),
        want("web", "a", "a"),
        want("web", "b", "b"),
    )


def test_cluster_lists_only_the_namespaces_that_matter() -> None:
    """For one certificate only the namespaces that it is sent to are listed."""
    to = cluster(route(["homarr-*"], ["b", "a"]), route(["x"], ["c"]), route(["*-tls"], ["d"]))
    assert to.namespaces_of(None) == ("a", "b", "c", "d")
    assert to.namespaces_of("homarr-tls") == ("a", "b", "d")
    assert to.namespaces_of("x") == ("c",)
    assert to.namespaces_of("nothing") == ()


# -- what a run is for -----------------------------------------------------------------------------


def chosen(cluster: str | None, certificate: str | None, *edits: Edit) -> list[str]:
    return [
        one.name
        for one in parse_config(example(*edits)).select(
            RunParameters(cluster=cluster, certificate=certificate)
        )
    ]


@pytest.mark.parametrize(
    ("cluster", "certificate", "expected"),
    [
        (None, None, ["dev", "rct"]),
        ("rct", None, ["rct"]),
        (None, "homarr-dev-tls", ["dev"]),
        (None, "headlamp-anything", ["dev"]),
        ("dev", "wildcard-dev-tls", ["dev"]),
    ],
)
def test_select_takes(cluster: str | None, certificate: str | None, expected: list[str]) -> None:
    """A run is for all clusters, for one, or for those that get one certificate."""
    assert chosen(cluster, certificate) == expected


def clusters(number: int) -> dict[str, Any]:
    """A configuration with this number of clusters."""
    document = example()
    sample = document["clusters"][1]
    document["clusters"] = [sample | {"name": f"c-{n}", "context": f"c-{n}"} for n in range(number)]
    return document


def test_a_configuration_has_a_thousand_clusters_and_no_more() -> None:
    """At the limit it is valid; above it, the number of clusters is the only fault."""
    assert len(parse_config(clusters(1000)).clusters) == 1000
    beyond = clusters(1001)
    beyond["clusters"][7]["wave"] = "not a number"
    fault = "clusters: are 1,001, at most 1,000; make two configurations, each with its own `owner`"
    with pytest.raises(ConfigError) as error:
        parse_config(beyond)
    assert str(error.value) == f"1 fault\n  {fault}"


def test_select_leaves_suspended_clusters_out() -> None:
    """A suspended cluster is in no run, and the configuration lists it."""
    edit: Edit = ((*RCT, "suspended"), True)
    assert chosen(None, None, edit) == ["dev"]
    assert parse_config(example(edit)).suspended == ("rct",)


@pytest.mark.parametrize(
    ("cluster", "certificate", "told"),
    [
        pytest.param(
            "prd", None, "cluster='prd': no such cluster; known are: dev, rct", id="the cluster is unknown"
        ),
        pytest.param("", None, "cluster='': no such cluster; known are: dev, rct", id="the cluster is empty"),
        pytest.param(
            "DEV", None, "cluster='DEV': no such cluster; known are: dev, rct", id="its case differs"
        ),
        pytest.param(
            "rct",
            None,
            "cluster='rct': it is suspended; set `suspended: false` first",
            id="the cluster is suspended",
        ),
        pytest.param(
            None,
            "homarr-rct-tls",
            "certificate='homarr-rct-tls': only suspended clusters get it",
            id="the certificate goes to a suspended cluster alone",
        ),
        pytest.param(
            "dev",
            "x",
            "certificate='x': no route sends it; routed are: headlamp-*, homarr-dev-tls, wildcard-dev-tls",
            id="the certificate is unknown",
        ),
        pytest.param(
            "dev",
            "",
            "certificate='': not the name of a Secret",
            id="the certificate is empty",
        ),
        pytest.param(
            None,
            "headlamp-\x1b]0;x",
            "certificate='headlamp-\\x1b]0;x': not the name of a Secret",
            id="the certificate is no name",
        ),
        pytest.param(
            "prd",
            "x",
            "cluster='prd': no such cluster; known are: dev, rct",
            id="cluster and certificate are unknown",
        ),
    ],
)
def test_select_refuses_when(cluster: str | None, certificate: str | None, told: str) -> None:
    """A run with an unknown parameter is refused with the known values."""
    with pytest.raises(ConfigError) as error:
        chosen(cluster, certificate, ((*RCT, "suspended"), True))
    assert str(error.value) == told


# -- the file --------------------------------------------------------------------------------------

EXPLAINED = (
    "TLS_SYNC_CONFIG is not set. Name your configuration by it, or by --config; the command tls-sync "
    "also takes a tls-sync.yaml in this folder. `tls-sync init` proposes one, and "
    "deployments/tls-sync.yaml is a commented example"
)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """Writes the file that TLS_SYNC_CONFIG names."""
    file = tmp_path / "tls-sync.yaml"
    monkeypatch.setenv("TLS_SYNC_CONFIG", str(file))

    def write_it(content: bytes) -> Path:
        file.write_bytes(content)
        return file

    return write_it


def load_refusal(path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(str(path) if path else None)
    assert "canary" not in str(error.value)
    return str(error.value)


def test_load_reads_what_the_environment_names(write: Callable[[bytes], Path]) -> None:
    """TLS_SYNC_CONFIG names the configuration."""
    write(EXAMPLE)
    assert load_config() == parse_config(parse_yaml(EXAMPLE))


@pytest.mark.parametrize("value", [None, ""])
def test_load_explains_itself_when_nothing_is_set(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration the message names the variable and the example."""
    monkeypatch.delenv("TLS_SYNC_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TLS_SYNC_CONFIG", value)
    assert load_refusal() == EXPLAINED


INVALID = "not valid YAML; is it a text file?"
FILES = {
    "it is empty": (b"", "the file must be a mapping with owner, source and clusters"),
    "it is binary": (b"\x7fELF\0\1canary", INVALID),
    "it is in another encoding": ("owner: öps".encode("latin-1"), INVALID),
    "a key occurs twice": (b"owner: canary\nowner: ops", "line 1: a key occurs twice in one mapping"),
    "it is not closed": (
        b"owner: [canary",
        "line 2: not valid YAML; check indentation, quotes and colons",
    ),
    "it has 10 MB": (EXAMPLE + b"#" * 10_000_000, "the file is larger than 1048576 bytes"),
}


@pytest.mark.parametrize(("content", "told"), FILES.values(), ids=FILES)
def test_load_refuses_the_file_when(write: Callable[[bytes], Path], content: bytes, told: str) -> None:
    """An invalid file is refused with its path, without its content."""
    file = write(content)
    assert load_refusal() == f"configuration {file}: {told}"


def test_load_tells_the_faults_with_the_path(write: Callable[[bytes], Path]) -> None:
    """The faults of a file come with the file's path."""
    file = write(EXAMPLE.replace(b"owner: ops", b"owner: Canary"))
    assert load_refusal() == f"configuration {file}: {message(f'owner: {LABEL}')}"


def test_load_refuses_a_file_that_is_missing(tmp_path: Path) -> None:
    """A missing file is refused with its path."""
    file = tmp_path / "missing.yaml"
    assert load_refusal(file) == f"configuration {file}: the file does not exist; check the path"


def test_load_refuses_a_folder(tmp_path: Path) -> None:
    """A folder is refused."""
    assert load_refusal(tmp_path) == (
        f"configuration {tmp_path}: the file can't be read (Is a directory); check path and permissions"
    )


def test_load_refuses_a_bomb(write: Callable[[bytes], Path]) -> None:
    """Aliases that multiply at each level are refused before they are expanded."""
    levels = [b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    write(b"a0: &a0 {name: dev}\n" + b"".join(levels))
    assert load_refusal().endswith("deeper than 20 levels, or more than 500000 values")
