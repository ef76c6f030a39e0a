"""A list of a namespace has Secrets of that namespace only."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.kube.client import ClusterClient
from tests.support import tls_server
from tests.support.tls_server import listening
from tests.unit.kubeconfig.test_reader import CA
from tests.unit.runtime.test_name_servers import client

List = Callable[[ClusterClient], list[Any]]
LISTS: dict[str, List] = {
    "of OPS": lambda one: [row for page in one.listed_secrets("app-a", {}) for row in page],
    "of a target": lambda one: one.target_secrets("app-a"),
}


def table(*namespaces: str) -> str:
    """A Table with a Secret of each of these namespaces."""
    rows = [
        {
            "cells": ["kubernetes.io/tls"],
            "object": {"metadata": {"name": "a-tls", "namespace": one, "uid": "u", "resourceVersion": "7"}},
        }
        for one in namespaces
    ]
    columns = [{"name": "Type"}]
    return json.dumps({"kind": "Table", "metadata": {}, "columnDefinitions": columns, "rows": rows})


@pytest.mark.parametrize("which", LISTS)
def test_a_list_with_another_namespaces_secret_is_refused(tmp_path: Path, which: str) -> None:
    """It is the answer to another request, for example from a proxy's cache, so none of it counts."""

    def rows(*namespaces: str) -> list[Any]:
        server = tls_server.answering(tmp_path, *CA.serving(), table(*namespaces))
        with listening(server) as address, client(server=f"https://{address}") as one:
            return LISTS[which](one)

    assert [row.ref.namespace for row in rows("app-a")] == ["app-a"]
    with pytest.raises(ClusterError) as raised:
        rows("app-a", "app-b")
    failure = raised.value.failure
    assert (failure.code, failure.detail) == (FailureCode.PROTOCOL, "Secrets of another namespace")
