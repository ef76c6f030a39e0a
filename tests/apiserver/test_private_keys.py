"""What an API server says of private keys: of what it warns, we refuse."""

import base64
import http.client
import json
from urllib.parse import quote

import pytest

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from tasks.domain.models import Certificate
from tests.support.clusters import World
from tests.support.factories import NOW
from tests.support.written_keys import Written, written_keys
from tests.unit.source.test_checks import ask, secret

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]
"""By Go's crypto/tls, as most programs that would serve the key."""


def warning(admin: Admin, written: Written) -> str:
    """What the server warns of when it is given the Secret; it stores nothing."""
    connection = http.client.HTTPSConnection(*admin.address, context=admin._tls, timeout=30)
    data = {"tls.crt": written.crt, "tls.key": written.key}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "web-tls"},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    path = f"/api/v1/namespaces/{quote(SOURCE_NAMESPACE)}/secrets?dryRun=All"
    connection.request(
        "POST", path, json.dumps(manifest), {**admin._headers, "Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    assert answer.status == http.client.CREATED, answer.read()
    answer.read()
    connection.close()
    return answer.headers.get("Warning", "")


def test_of_what_an_api_server_warns_we_refuse(world: World) -> None:
    """No key that is called fit makes the server warn; and it does warn of each flipped bit."""
    keys = written_keys(Issuer(now=NOW))
    warned = {name: warning(world.ops, one) for name, one in keys.items()}
    fit = {name for name, one in keys.items() if isinstance(ask(secret(one.crt, one.key)), Certificate)}
    assert {name: warned[name] for name in fit if warned[name]} == {}
    flipped = [name for name in keys if "flipped" in name]
    assert len(flipped) == 12
    assert all("tls: failed to parse private key" in warned[name] for name in flipped)
    assert fit  # and the table is not one of refusals alone
