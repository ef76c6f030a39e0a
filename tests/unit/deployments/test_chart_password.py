"""The chart requires a password of Prefect, or the explicit value for none."""

from typing import Any

import pytest

from tests.support.chart import AUTH, EXISTING, NONE, VALUES, Manifest, containers, one, pods, refusal, render

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

CREATE = "kubectl -n tls-sync create secret generic tls-sync-prefect --from-file=auth-string=/dev/stdin"
CLIENTS = ("run", "results", "preflight")
"""Pods that get the password from the worker, or send nothing to Prefect."""


def server(manifests: list[Manifest]) -> dict[str, Any]:
    """Return the environment of the server's container."""
    (container,) = one(manifests, "Deployment", "tls-sync-server")["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable for variable in container["env"]}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "Prefect has no password"),
        (("--is-upgrade",), "the Prefect server of this release has no password"),
    ],
)
def test_a_release_without_a_password_is_refused(options: tuple[str, ...], what: str) -> None:
    """One sentence says why and what to create, with the command to paste; at an upgrade, too."""
    said = refusal({"prefect": {"authSecret": NONE}}, *options)
    assert f"{what}, and without a password any web page that is open in an operator's browser" in said
    assert "create one and set prefect.authSecret.name=tls-sync-prefect, or set prefect.insecure" in said
    assert f"  printf 'admin:%s' \"$(openssl rand -hex 24)\" | {CREATE}\n" in said


def test_an_existing_server_without_credentials_is_refused() -> None:
    """An existing server needs its own user and password, or an API key of Prefect Cloud."""
    said = refusal({"prefect": {**EXISTING, "authSecret": NONE}})
    assert "neither prefect.authSecret nor prefect.apiKeySecret says how to log in at prefect.apiUrl" in said
    assert "(for Prefect Cloud its API key: prefect.apiKeySecret.name)" in said
    assert f"  printf '%s' '<user>:<password>' | {CREATE}\n" in said


@pytest.mark.parametrize("prefect", [{}, EXISTING], ids=["embedded", "existing server"])
def test_who_wants_no_password_says_so(prefect: dict[str, Any]) -> None:
    """A value with an explicit name allows it, and is refused together with a password."""
    render({"prefect": {**prefect, "authSecret": NONE, "insecureNoPassword": True}})
    said = refusal({"prefect": {**prefect, "authSecret": AUTH, "insecureNoPassword": True}})
    assert "prefect.insecureNoPassword says that Prefect has no password" in said
    assert "'/prefect/insecureNoPassword'" in refusal({"prefect": {"insecureNoPassword": "yes"}})


def test_every_client_has_the_password() -> None:
    """Server, worker, watcher and hooks have it by reference, and runs from the worker."""
    manifests = render({**VALUES["everything"], "prefect": {"authSecret": AUTH}})
    reference = {"secretKeyRef": AUTH}
    assert server(manifests)["PREFECT_SERVER_API_AUTH_STRING"]["valueFrom"] == reference
    for name, pod in pods(manifests).items():
        for container in containers(pod):
            given = {variable["name"]: variable for variable in container.get("env", [])}
            if name.removeprefix("tls-sync-") not in CLIENTS:
                assert given["PREFECT_API_AUTH_STRING"]["valueFrom"] == reference, name
    (worker,) = one(manifests, "Deployment", "tls-sync-worker")["spec"]["template"]["spec"]["containers"]
    told = {variable["name"]: variable.get("value") for variable in worker["env"]}
    prefix = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET"
    assert (told[f"{prefix}_NAME"], told[f"{prefix}_KEY"]) == (AUTH["name"], AUTH["key"])


def test_no_other_origin_is_allowed_by_cors() -> None:
    """CORS allows only the UI's own address; where there is no password, changes need a CSRF token."""
    for way in ("embedded", "embedded without a password"):
        given = server(render(VALUES[way]))
        assert given["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]["value"] == "http://127.0.0.1:4200"
        protected = given.get("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", {}).get("value")
        assert protected == (None if way == "embedded" else "true")
