"""Reads an account's rights from the API server."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.rest import Rest

_TOKEN_SECONDS = 3600
_NODE_AUTHORIZER = "node authorizer does not support user rule resolution"
"""Message of the node authorizer, which lists no rights for other users."""


class Right(NamedTuple):
    verb: str
    group: str
    resource: str
    names: tuple[str, ...] = ()


def of(server: ApiServer, namespace: str, account: str, where: str) -> set[Right]:
    """Return its rights in one namespace beyond those of every authenticated user."""
    nobody = _all(server, "default", "default", where)
    return _all(server, namespace, account, where) - nobody


def _all(server: ApiServer, namespace: str, account: str, where: str) -> set[Right]:
    token = server.admin.token(namespace, account, _TOKEN_SECONDS)
    client = Rest(*server.admin.address, server.ca_pem, token)
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": where},
    }
    answer = client.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", question)["status"]
    assert answer.get("evaluationError", "") in {"", _NODE_AUTHORIZER}, answer
    return set(_flat(answer["resourceRules"]))


def _flat(rules: Iterable[dict[str, Any]]) -> Iterable[Right]:
    for rule in rules:
        names = tuple(sorted(rule.get("resourceNames") or ()))
        for verb in rule["verbs"]:
            for group in rule.get("apiGroups") or ():
                for resource in rule.get("resources") or ():
                    yield Right(verb, group, resource, names)
