"""Configurations of any size as people write them, each with what OPS has, for tests of growth."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from tasks.config.load import parse_config
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.models import CopyRequest, Plan, SourceSnapshot, TargetSecret
from tasks.plan.decide import make_plan
from tasks.plan.requests import granted
from tasks.plan.spec import EVERYTHING, SyncSpec, specs_for
from tests.support.factories import (
    NOW,
    OPS_ID,
    SOURCE_NAMESPACE,
    US,
    certificate,
    issuance,
    rejection,
    snapshot,
    target_secret,
)

Document = dict[str, Any]
DEV = ["*.dev.example.org"]


class World(NamedTuple):
    """A configuration, its document, and what OPS and each cluster have."""

    document: Document
    config: SyncConfig
    found: SourceSnapshot
    copies: dict[str, list[TargetSecret]]

    @property
    def specs(self) -> tuple[SyncSpec, ...]:
        return specs_for(self.config, self.config.clusters, self.found, EVERYTHING)

    def plans(self) -> list[Plan]:
        return [plan(one, self.found, self.copies[one.name]) for one in self.config.clusters]


def plan(cluster: Cluster, found: SourceSnapshot, copies: Iterable[TargetSecret]) -> Plan:
    return make_plan(cluster, found, copies, owner=US, now=NOW)


def clusters(*given: tuple[list[Document], list[str]]) -> Document:
    """A document with a cluster for each of these routes and hostnames."""
    listed = [
        {
            "name": f"c{number}",
            "context": f"c{number}",
            "clusterId": f"{number:08d}-0000-4000-8000-000000000000",
            "prune": True,
            "hostnames": hostnames,
            "routes": routes,
        }
        for number, (routes, hostnames) in enumerate(given)
    ]
    source = {"namespace": SOURCE_NAMESPACE, "clusterId": OPS_ID}
    return {"owner": "ops", "source": source, "clusters": listed}


def send(pattern: str, namespace: str = "apps", name: str | None = None) -> Document:
    served = [f"{namespace}.dev.example.org"]
    return {"certificates": [pattern], "namespaces": [namespace], "name": name, "served": served}


def routes(*each: Callable[[int], Document]) -> Callable[[int], Document]:
    """One cluster, with each of these routes for each number."""
    return lambda n: clusters(([one(i) for i in range(n) for one in each], DEV))


def limit(pattern: str, namespace: str = "apps") -> Document:
    return {"clusters": ["*"], "certificates": [pattern], "namespaces": [namespace], "hostnames": DEV}


def asking(*limits: Document) -> Document:
    """One cluster, to which each certificate is to be copied because its Certificate asks for it."""
    return clusters(([send("zzz")], DEV)) | {"selfService": list(limits)}


FAMILIES: dict[str, Callable[[int], Document]] = {
    "literal names to one namespace": routes(lambda i: send(f"app-{i}-dev-tls")),
    "literal names to many namespaces": routes(lambda i: send(f"app-{i}-dev-tls", f"app-{i}")),
    "globs with a beginning": routes(lambda i: send(f"app-{i}-*")),
    "globs with an end": routes(lambda i: send(f"*-{i}-dev-tls")),
    "globs with both": routes(lambda i: send(f"app-{i}-*-tls")),
    "globs of all kinds": routes(
        lambda i: send(f"app-{i}-*", "a"),
        lambda i: send(f"*-{i}-dev-tls", "b"),
        lambda i: send(f"app-{i}-*-tls", "c"),
    ),
    "one glob to many namespaces": routes(lambda i: send("app-0-*", f"app-{i}")),
    "a wildcard certificate to many namespaces": routes(
        lambda i: send("app-0-dev-tls", f"app-{i}", "wildcard-tls"),
        lambda i: send(f"app-{i}-dev-tls", f"app-{i}"),
    ),
    "literal hostnames": lambda n: clusters(
        ([send("app-*-dev-tls")], [f"app-{i}-dev-tls.dev.example.org" for i in range(n)])
    ),
    "wildcards in hostnames": lambda n: clusters(
        ([send("app-*-dev-tls")], [*(f"*.app-{i}.example.org" for i in range(n)), *DEV])
    ),
    "Certificates that ask": lambda _: asking(limit("app-*")),
    "Certificates that ask, each under a limit of its own": lambda n: asking(
        *(limit(f"app-{i}-*", f"app-{i}") for i in range(n))
    ),
    "clusters with a name of their own": lambda n: clusters(
        *(([send(f"app-{i}-dev-tls")], DEV) for i in range(n))
    ),
    "clusters with a glob of their own": lambda n: clusters(*(([send(f"app-{i}-*")], DEV) for i in range(n))),
}


@cache
def world(family: str, n: int) -> World:
    """The family with `n` members, where OPS has as many certificates; the clusters have all copies."""
    document = FAMILIES[family](n)
    names = [f"app-{number}-dev-tls" for number in range(n)]
    fit = snapshot(*(certificate(name, dns_names=(f"{name}.dev.example.org",)) for name in names))
    unfit = (rejection(f"app-{number}-old-tls") for number in range(n))
    awaited = (issuance(f"app-{number}-new-tls") for number in range(n))
    found = snapshot(
        *fit.certificates, *unfit, *awaited, cluster_id=OPS_ID, requests=tuple(requests(document, names))
    )
    config, found = granted(parse_config(document), found)
    copies = {one.name: copies_of(plan(one, found, ()), found) for one in config.clusters}
    return World(document, config, found, copies)


def requests(document: Document, names: Iterable[str]) -> Iterator[CopyRequest]:
    """Yield for each certificate that it is to be copied to where a limit allows it, and elsewhere."""
    places = [f"c0/{one['namespaces'][0]}" for one in document.get("selfService", ())]
    for number, name in enumerate(names):
        asked = (places[number % len(places)], "c0/elsewhere", "nowhere/apps") if places else ()
        yield CopyRequest(secret=name, certificates=(name,), asked=asked)


def copies_of(first: Plan, found: SourceSnapshot) -> list[TargetSecret]:
    return [
        target_secret(
            found.by_name[row.certificate],
            namespace=row.target.namespace,
            name=row.target.name,
            uid=str(row.target),
        )
        for row in first.writes
    ]
