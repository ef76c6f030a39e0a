"""The strict reader makes a client that verifies TLS, or refuses the context."""

import base64
import json
import os
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.sandbox.clusters import pki
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kubeconfig import authentication, reader
from tasks.kubeconfig.reader import connect
from tasks.kubeconfig.sdk import ApiClient
from tests.support.factories import law

CANARY = "canary"
TOKEN = f"{CANARY}-token"
CA = pki.Authority("Cluster CA")
KEY, CERTIFICATE = CA.serving(["tls-sync"])
CERTIFICATE_EXPIRES_AT = x509.load_pem_x509_certificate(CERTIFICATE).not_valid_after_utc
FLATTEN = "write it with `kubectl config view --raw --flatten`"
BOUND = "use a ServiceAccount's bound token"

Document = dict[str, Any]
Write = Callable[[object], Path]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def document() -> Document:
    """A kubeconfig with one context, which has a bound token."""
    server = {"server": "https://dev.example.org:6443", "certificate-authority-data": b64(CA.pem)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "another",
        "contexts": [{"name": "cluster-dev", "context": {"cluster": "dev-server", "user": "dev-user"}}],
        "clusters": [{"name": "dev-server", "cluster": server}],
        "users": [{"name": "dev-user", "user": {"token": TOKEN}}],
    }


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the file that KUBECONFIG names."""
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))

    def write_it(content: object) -> Path:
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return file

    reader._document.cache_clear()
    return write_it


def refusal(context: str | None = "cluster-dev") -> Failure:
    with pytest.raises(ClusterError) as error:
        connect("dev", context)
    assert CANARY not in str(error.value)
    assert CANARY not in error.value.failure.model_dump_json()
    return error.value.failure


def failure(detail: str, context: str = "cluster-dev") -> Failure:
    return Failure(code=FailureCode.KUBECONFIG, cluster="dev", what=f"read context {context}", detail=detail)


def client(cluster: str, context: str | None) -> ApiClient:
    return connect(cluster, context).api


def bearer(client: ApiClient) -> str | None:
    """The credential that the client sends."""
    headers: dict[str, str] = {}
    client.update_params_for_auth(headers, [], ["BearerToken"], "/", "GET", None)
    return headers.get("authorization")


def test_context_becomes_a_client_that_verifies(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the context's server, CA and token, verifies TLS, and has no retries and no proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org")
    write(document())
    api = client("dev", "cluster-dev")
    settings = api.configuration
    assert (settings.host, bearer(api)) == ("https://dev.example.org:6443", f"Bearer {TOKEN}")
    trust = api.rest_client.pool_manager.connection_pool_kw["ssl_context"]
    assert trust.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(CA.pem.decode())]
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (settings.verify_ssl, settings.retries, settings.proxy) == (True, False, None)


def user(**values: object) -> Callable[[Document], None]:
    """A change to the user; a key's _ stands for -."""
    return lambda d: d["users"][0].update(user={k.replace("_", "-"): v for k, v in values.items()})


def also(**values: object) -> Callable[[Document], None]:
    """A key beside the token."""
    return user(token=TOKEN, **values)


def server(**values: object) -> Callable[[Document], None]:
    """A change to the server; a key's _ stands for -, and None removes it."""

    def change(d: Document) -> None:
        mapping = d["clusters"][0]["cluster"] | {k.replace("_", "-"): v for k, v in values.items()}
        d["clusters"][0]["cluster"] = {k: v for k, v in mapping.items() if v is not None}

    return change


def context(**values: object) -> Callable[[Document], None]:
    return lambda d: d["contexts"][0].update(context=values)


def twice(section: str) -> Callable[[Document], None]:
    return lambda d: d[section].append(d[section][0])


def put(**values: object) -> Callable[[Document], None]:
    return lambda d: d.update(values)


def nameless(d: Document) -> None:
    del d["contexts"][0]["context"]["cluster"], d["clusters"][0]["name"]


def unsupported(key: str, section: str = "user") -> str:
    return f"`{key}` of the {section} is not supported; {BOUND}"


HTTPS = "`server` must be an https:// address without user, query or fragment"
INSECURE = "insecure-skip-tls-verify: TLS is always verified; give the cluster's CA instead"
NO_TOKEN = "`token` is empty or not a token; a request without one would be anonymous"
NO_CREDENTIAL = "the user has no credential; a request without one would be anonymous"
NO_CLUSTER, NO_USER = "no cluster of that name in `clusters`", "no user of that name in `users`"
ONE_CLUSTER, ONE_USER = (
    "not exactly one usable cluster of that name in `clusters`",
    "not exactly one usable user of that name in `users`",
)
NO_PROGRAM = "`exec` runs a program: allow it (allowExec: true), or use a ServiceAccount's token"
PEM = {"client_certificate_data": b64(CERTIFICATE), "client_key_data": b64(KEY)}
FOREIGN_KEY = b64(pki.key_pem(pki.new_key()))

REFUSED: dict[str, tuple[Callable[[Document], None], str]] = {
    # the user
    "a program gives the credential": (user(exec={"command": CANARY}), NO_PROGRAM),
    "a program beside a token": (also(exec={"command": CANARY}), NO_PROGRAM),
    "a plug-in gives the credential": (user(auth_provider={"name": CANARY}), unsupported("auth-provider")),
    "it impersonates": (also(**{"as": CANARY}), unsupported("as")),
    "it impersonates groups": (also(as_groups=[CANARY]), unsupported("as-groups")),
    "it has a user name": (user(username=CANARY, password=CANARY), unsupported("password")),
    "it has a user name without password": (user(username=CANARY), unsupported("username")),
    "it has an unknown key": (also(shiny=CANARY), unsupported("shiny")),
    "the user is empty": (user(), NO_CREDENTIAL),
    "the token is empty": (user(token=""), NO_TOKEN),
    "the token is null": (user(token=None), NO_TOKEN),
    "the token is a number": (
        user(token=12345),
        NO_TOKEN,
    ),
    "the token is a list": (
        user(token=[CANARY]),
        NO_TOKEN,
    ),
    "the token contains a line break": (
        user(token=f"{CANARY}\nHost: x"),
        NO_TOKEN,
    ),
    "the token contains a NUL": (
        user(token=f"{CANARY}\0"),
        NO_TOKEN,
    ),
    "the key is missing": (
        user(client_certificate_data=b64(CERTIFICATE)),
        f"`client-key-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the key is not base64": (
        user(**{**PEM, "client_key_data": f"{CANARY}!"}),
        f"`client-key-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the certificate is not base64": (
        user(**{**PEM, "client_certificate_data": [CANARY]}),
        f"`client-certificate-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the certificate is not text": (
        user(**{**PEM, "client_certificate_data": b64(b"\xff\xfe")}),
        f"`client-certificate-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the key is that of another certificate": (
        user(**{**PEM, "client_key_data": FOREIGN_KEY}),
        "client-certificate-data and client-key-data are no certificate and its key",
    ),
    "the certificate is no certificate": (
        user(**{**PEM, "client_certificate_data": b64(CANARY.encode())}),
        "client-certificate-data and client-key-data are no certificate and its key",
    ),
    "the certificate is a file": (
        user(**{"client-certificate": f"/{CANARY}", "client-key": f"/{CANARY}"}),
        f"`client-certificate` names a file; {FLATTEN}",
    ),
    "the key is a file": (also(**{"client-key": f"/{CANARY}"}), f"`client-key` names a file; {FLATTEN}"),
    "the token's file is relative": (
        user(tokenFile=f"../{CANARY}"),
        "`tokenFile` must be an absolute path, without `token` beside it",
    ),
    "the token's file stands beside a token": (
        also(tokenFile=f"/{CANARY}"),
        "`tokenFile` must be an absolute path, without `token` beside it",
    ),
    "the token's file is missing": (
        user(tokenFile=f"/{CANARY}"),
        "`tokenFile`: the file does not exist; check the path",
    ),
    "the token's file is a device without end": (
        user(tokenFile="/dev/zero"),
        "`tokenFile`: not a regular file; check the path",
    ),
    "the token's file is a list": (
        user(tokenFile=[CANARY]),
        "`tokenFile` must be an absolute path, without `token` beside it",
    ),
    # the server
    "the server name is not a host name": (
        server(tls_server_name=f"{CANARY}\0"),
        "`tls-server-name` must be a host name",
    ),
    "TLS is not verified": (server(insecure_skip_tls_verify=True), INSECURE),
    "TLS is not verified, as a text": (server(insecure_skip_tls_verify="true"), INSECURE),
    "TLS is verified, but as a text": (server(insecure_skip_tls_verify="false"), INSECURE),
    "TLS is verified, but as a number": (server(insecure_skip_tls_verify=0), INSECURE),
    "the address is http": (server(server=f"http://{CANARY}.example.org"), HTTPS),
    "the address has a user": (server(server=f"https://{CANARY}@dev.example.org"), HTTPS),
    "the address has user and password": (server(server=f"https://x:{CANARY}@dev.example.org"), HTTPS),
    "the address has a query": (server(server=f"https://dev.example.org?{CANARY}"), HTTPS),
    "the address has a fragment": (server(server=f"https://dev.example.org#{CANARY}"), HTTPS),
    "the address has no host": (server(server="https:///api"), HTTPS),
    "the address is missing": (server(server=None), HTTPS),
    "the address is a list": (server(server=[CANARY]), HTTPS),
    "the CA is missing": (
        server(certificate_authority_data=None),
        f"`certificate-authority-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the CA is not base64": (
        server(certificate_authority_data=f"{CANARY}!"),
        f"`certificate-authority-data` is missing, empty or not base64; {FLATTEN}",
    ),
    "the CA is a file": (
        server(certificate_authority=f"/{CANARY}"),
        f"`certificate-authority` names a file; {FLATTEN}",
    ),
    "a proxy is given": (server(proxy_url=f"http://{CANARY}"), unsupported("proxy-url", "cluster")),
    # the references of the context
    "the context is missing": (
        put(contexts=[]),
        "no context of that name in `contexts`; known are: none",
    ),
    "the context has another name": (
        lambda d: d["contexts"][0].update(name="cluster-rct"),
        "no context of that name in `contexts`; known are: cluster-rct",
    ),
    "the context occurs twice": (
        twice("contexts"),
        "not exactly one usable context of that name in `contexts`; known are: cluster-dev, cluster-dev",
    ),
    "the context is empty": (
        lambda d: d["contexts"][0].update(context=None),
        "not exactly one usable context of that name in `contexts`; known are: cluster-dev",
    ),
    "the contexts are a text": (
        put(contexts=CANARY),
        "no context of that name in `contexts`; known are: none",
    ),
    "the cluster is not named": (context(user="dev-user"), NO_CLUSTER),
    "neither context nor cluster has a name": (nameless, NO_CLUSTER),
    "the cluster is missing": (put(clusters=[]), NO_CLUSTER),
    "the cluster occurs twice": (twice("clusters"), ONE_CLUSTER),
    "the cluster is a text": (lambda d: d["clusters"][0].update(cluster=CANARY), ONE_CLUSTER),
    "the user is not named": (context(cluster="dev-server"), NO_USER),
    "the user's name is empty": (context(cluster="dev-server", user=""), NO_USER),
    "the user is missing": (put(users=None), NO_USER),
    "the user occurs twice": (twice("users"), ONE_USER),
    "the user is null": (lambda d: d["users"][0].update(user=None), ONE_USER),
}


@pytest.mark.parametrize(("change", "detail"), REFUSED.values(), ids=REFUSED)
def test_context_is_refused_when(write: Write, change: Callable[[Document], None], detail: str) -> None:
    """The refusal of what is missing, unknown or unsafe names context and key, and quotes no value."""
    broken = document()
    change(broken)
    write(broken)
    assert refusal() == failure(detail)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            user(token=" \n"),
            id="the token is blank",
        ),
        pytest.param(
            server(server=f"https://:{CANARY}@dev.example.org"),
            id="the address has a password without user",
        ),
        pytest.param(
            server(server=f"https://[{CANARY}"),
            id="the address is broken",
        ),
        pytest.param(
            server(server="https://dev.example.org:99999"),
            id="the port does not exist",
        ),
        pytest.param(
            server(certificate_authority_data=""),
            id="the CA is empty",
        ),
        pytest.param(
            server(certificate_authority_data=b64(CANARY.encode())),
            id="the CA is no certificate",
        ),
        pytest.param(
            server(tls_server_name=[CANARY]),
            id="the name of the server is a list",
        ),
    ],
)
def test_context_is_refused_also_when(write: Write, change: Callable[[Document], None]) -> None:
    """A value that can't work, or means something else than it seems to, is refused when it is read."""
    broken = document()
    change(broken)
    write(broken)
    assert refusal().code is FailureCode.KUBECONFIG


def test_context_may_say_that_tls_is_verified(write: Write) -> None:
    """insecure-skip-tls-verify: false, an extension and a server name are accepted."""
    changed = document()
    server(insecure_skip_tls_verify=False, extensions=[], tls_server_name="kubernetes")(changed)
    write(changed)
    settings = client("dev", "cluster-dev").configuration
    assert (settings.verify_ssl, settings.tls_server_name) == (True, "kubernetes")


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"  {TOKEN}\r\n"])
def test_token_is_stripped(write: Write, token: str) -> None:
    """A line break after the token, which would raise an exception that quotes the token, is removed."""
    changed = document()
    user(token=token)(changed)
    write(changed)
    assert bearer(client("dev", "cluster-dev")) == f"Bearer {TOKEN}"


def test_token_may_be_in_a_file(write: Write, tmp_path: Path) -> None:
    """A token file is read when the client is made, and its line break is removed."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    changed = document()
    user(tokenFile=str(file))(changed)
    write(changed)
    assert bearer(client("dev", "cluster-dev")) == f"Bearer {TOKEN}"


def test_token_file_must_be_text(write: Write, tmp_path: Path) -> None:
    """A binary token file is refused like a missing one."""
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    changed = document()
    user(tokenFile=str(file))(changed)
    write(changed)
    assert refusal() == failure("`tokenFile` names a file that holds no token")


def test_token_file_must_be_a_small_regular_file(write: Write, tmp_path: Path) -> None:
    """A pipe would block the run of all clusters, and a large file holds no token."""
    file = tmp_path / "token"
    os.mkfifo(file)
    changed = document()
    user(tokenFile=str(file))(changed)
    write(changed)
    assert refusal() == failure("`tokenFile`: not a regular file; check the path")
    file.unlink()
    file.write_text("a" * 70_000)
    assert refusal() == failure("`tokenFile`: the file is larger than 65536 bytes")


def test_client_certificate_is_presented(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A client certificate is loaded into a TLS context that verifies, and no file of it remains."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    changed = document()
    user(**PEM)(changed)
    write(changed)
    api = client("dev", "cluster-dev")
    found = api.rest_client.pool_manager.connection_pool_kw["ssl_context"]
    assert isinstance(found, ssl.SSLContext)
    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [one["subject"] for one in found.get_ca_certs()] == [((("commonName", "Cluster CA"),),)]
    assert (bearer(api), list(folder.iterdir())) == (None, [])


def many(count: int) -> Document:
    """A kubeconfig with this many contexts, each with a server and a token of its own."""
    one, entries = document(), range(count)
    ca = one["clusters"][0]["cluster"]["certificate-authority-data"]
    return {
        "contexts": [{"name": f"c{n}", "context": {"cluster": f"s{n}", "user": f"u{n}"}} for n in entries],
        "clusters": [
            {"name": f"s{n}", "cluster": {"server": f"https://s{n}.org", "certificate-authority-data": ca}}
            for n in entries
        ],
        "users": [{"name": f"u{n}", "user": {"token": f"t{n}"}} for n in entries],
    }


def test_broken_context_leaves_the_others_usable(write: Write) -> None:
    """A broken context fails its own cluster only."""
    changed = many(3)
    changed["users"][1]["user"] = {"exec": {"command": CANARY}}
    write(changed)
    assert refusal("c1") == failure(NO_PROGRAM, "c1")
    assert [bearer(client(name, name)) for name in ("c0", "c2")] == ["Bearer t0", "Bearer t2"]


def test_file_is_parsed_once_for_300_contexts(write: Write) -> None:
    """The file is parsed once for all clusters, and each cluster gets its own client."""
    write(many(300))
    hosts = [client(f"c{n}", f"c{n}").configuration.host for n in range(300)]
    assert hosts == [f"https://s{n}.org" for n in range(300)]
    assert reader._document.cache_info()[:2] == (299, 1)


def test_file_is_parsed_again_when_it_has_changed(write: Write) -> None:
    """The next run uses a rotated token."""
    file = write(document())
    client("dev", "cluster-dev")
    rotated = document()
    user(token="rotated")(rotated)
    write(rotated)
    os.utime(file, ns=(0, time.time_ns() + 10**9))
    assert bearer(client("dev", "cluster-dev")) == "Bearer rotated"


def test_a_run_uses_the_file_as_it_was_at_its_start(write: Write) -> None:
    """A change during a run, good or bad, takes effect in the next run, also in tasks."""
    file = write(document())
    rotated = document()
    user(token="rotated")(rotated)

    def sent_in_a_task() -> str | None:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, lambda: bearer(client("dev", "cluster-dev"))).result()

    with reader.frozen_kubeconfig():
        write(rotated)
        os.utime(file, ns=(0, time.time_ns() + 10**9))
        assert sent_in_a_task() == bearer(client("dev", "cluster-dev")) == f"Bearer {TOKEN}"
        file.unlink()
        assert sent_in_a_task() == f"Bearer {TOKEN}"
    with reader.frozen_kubeconfig():
        write(rotated)
        assert "does not exist" in refusal().detail
    assert sent_in_a_task() == "Bearer rotated"


NO_MAPPING = "the file is not a mapping; is it a kubeconfig?"
FILES: dict[str, tuple[bytes, str]] = {
    "it is empty": (b"", NO_MAPPING),
    "it is a list": (b"[1, 2]", NO_MAPPING),
    "it is a text": (CANARY.encode(), NO_MAPPING),
    "it is binary": (b"\x7fELF\0\1", "file {file}: not valid YAML; is it a text file?"),
    "a key occurs twice": (
        f"users: {CANARY}\nusers: []".encode(),
        "file {file}: line 1: a key occurs twice in one mapping",
    ),
    "it creates a Python object": (
        f"a: !!python/object/apply:os.system [{CANARY}]".encode(),
        "file {file}: line 1: a tag (!name); remove it",
    ),
    "it is larger than 8 MiB": (
        b"#" * (8 * 1024 * 1024 + 1),
        "file {file}: the file is larger than 8388608 bytes",
    ),
}


@pytest.mark.parametrize(("content", "detail"), FILES.values(), ids=FILES)
def test_file_is_refused_when(write: Write, content: bytes, detail: str) -> None:
    """The refusal of a file that is no kubeconfig names its path and quotes nothing of its content."""
    file = write(content)
    assert refusal() == failure(detail.format(file=file))


def test_file_is_refused_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal of a missing file names its path and the remedy."""
    file = tmp_path / "missing"
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert refusal() == failure(f"file {file} does not exist or can't be read; KUBECONFIG must name one file")


def test_file_is_refused_when_it_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KUBECONFIG that names a folder is refused."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    detail = f"file {tmp_path}: the file can't be read (Is a directory); check path and permissions"
    assert refusal() == failure(detail)


def test_file_is_found_at_home_without_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without KUBECONFIG, the file is the one that kubectl uses."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(json.dumps(document()))
    assert bearer(client("dev", "cluster-dev")) == f"Bearer {TOKEN}"


def test_no_context_means_the_cluster_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a cluster the remedy is to name a context; no kubeconfig is read instead."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    detail = "this process does not run in a cluster; set source.context to a context of the kubeconfig"
    assert refusal(None) == failure(detail, "(in cluster)")


@pytest.mark.parametrize(("host", "url"), [("10.0.0.1", "10.0.0.1"), ("fd00::1", "[fd00::1]")])
def test_in_a_pod_the_service_account_is_used(
    host: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the mounted CA is trusted, and a rotated token takes effect with the next request."""
    mounted(tmp_path, monkeypatch, host)
    api = client("OPS", None)
    assert api.configuration.host == f"https://{url}:443"
    assert bearer(api) == "Bearer first"
    trust = api.rest_client.pool_manager.connection_pool_kw["ssl_context"]
    assert (len(trust.get_ca_certs()), trust.verify_mode, trust.check_hostname) == (
        1,
        ssl.CERT_REQUIRED,
        True,
    )
    (tmp_path / "token").write_text("second")
    assert bearer(api) == "Bearer second"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_service_account_is_refused(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With automountServiceAccountToken: false, no anonymous request is sent."""
    mounted(tmp_path, monkeypatch, "10.0.0.1")
    (tmp_path / missing).unlink()
    details = {
        "token": "`tokenFile`: the file does not exist; check the path",
        "ca.crt": "this process does not run in a cluster; set source.context to a context of the kubeconfig",
    }
    assert refusal(None) == failure(details[missing], "(in cluster)")


def mounted(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The files and variables that a pod has of its ServiceAccount."""
    (folder / "token").write_text("first\n")
    (folder / "ca.crt").write_bytes(CA.pem)
    monkeypatch.setattr(reader, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


def test_token_file_is_read_before_each_request(write: Write, tmp_path: Path) -> None:
    """A token that is rotated in its file is used from the next request on."""
    file = tmp_path / "token"
    file.write_text("first")
    changed = document()
    user(tokenFile=str(file))(changed)
    write(changed)
    api = client("dev", "cluster-dev")
    assert bearer(api) == "Bearer first"
    file.write_text("second\n")
    assert bearer(api) == "Bearer second"


def test_the_expiry_of_the_credential_is_known(write: Write) -> None:
    """It is a token's `exp` or a client certificate's notAfter; other credentials have none."""
    expires_at = datetime(2030, 5, 1, tzinfo=UTC)
    claims = (
        base64.urlsafe_b64encode(json.dumps({"exp": int(expires_at.timestamp())}).encode())
        .decode()
        .strip("=")
    )
    for credential, expected in (
        ({"token": f"x.{claims}.y"}, expires_at),
        ({"token": TOKEN}, None),
        (PEM, CERTIFICATE_EXPIRES_AT),
    ):
        changed = document()
        user(**credential)(changed)
        write(changed)
        reader._document.cache_clear()
        assert connect("dev", "cluster-dev").expires_at == expected


ODD: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([[], {}])
)
VALUES = ODD | st.sampled_from(["cluster-dev", "https://dev.example.org", TOKEN, b64(CERTIFICATE), b64(KEY)])
REFERENCES = ("name", "context", "cluster", "user", "as")
KEYS = st.sampled_from([*authentication.USER_KEYS, *reader.CLUSTER_KEYS, *REFERENCES])
ENTRIES = st.lists(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=4)), max_size=3)


@settings(law, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(sections=st.dictionaries(st.sampled_from(["contexts", "clusters", "users"]), ENTRIES | ODD))
def test_kubeconfig_is_usable_or_refused_whatever_it_says(write: Write, sections: Document) -> None:
    """Any document results in a client that sends a credential over https, or in KubeconfigInvalid."""
    reader._document.cache_clear()
    write({**document(), **sections})
    with suppress(ClusterError):  # and nothing else
        assert client("dev", "cluster-dev").configuration.host.startswith("https://")
