"""The parts of the sandbox that need no API server."""

import base64
import fcntl
import functools
import hashlib
import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.api_server import audit_entries
from deployments.sandbox.clusters.manifests import Manifest, object_path
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import gobuild
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.programs.envtest import this_platform
from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import Issuer, dns_names_of, leaf_of
from tests.support import recorded

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ["homarr.dev.example.org", "start.dev.example.org"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other source of programs: no assets, no Go, and no index."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("TLS_SYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TLS_SYNC_ENVTEST_INDEX", "http://127.0.0.1:1/envtest-releases.yaml")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / this_platform()


@pytest.fixture
def site(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Site"]:
    """A file server in place of GitHub."""
    folder = cache.parent.with_name("site")
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("TLS_SYNC_ENVTEST_INDEX", f"{url}/envtest-releases.yaml")
        yield Site(folder, url)
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words: Any) -> None:
        """Log nothing."""


class Site:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.releases: dict[str, Any] = {}

    def publish(
        self, version: str, *, sha512: str | None = None, programs: tuple[str, ...] | None = None
    ) -> None:
        name = f"envtest-{version}-{this_platform()}.tar.gz"
        content = archive(version, programs or ("etcd", "kube-apiserver", "kubectl"))
        (self.folder / name).write_bytes(content)
        entry = {
            "hash": sha512 or hashlib.sha512(content).hexdigest(),
            "selfLink": f"{self.url}/{name}",
        }
        self.releases[version] = {name: entry}
        index = yaml.safe_dump({"releases": self.releases})
        (self.folder / "envtest-releases.yaml").write_text(index)


def archive(version: str, programs: tuple[str, ...]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as members:
        for name in programs:
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            content = f"{name} {version}".encode()
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return output.getvalue()


def program(folder: Path, name: str, content: str = "", mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(content)
    path.chmod(mode)
    return path


def test_locate_takes_the_assets_before_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBEBUILDER_ASSETS comes first; what it lacks, except servers, comes from the cache."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    etcd = program(tmp_path / "assets", "etcd")
    program(tmp_path / "assets", "kube-apiserver")
    program(cache / "envtest-v1.36.1", "etcd")
    kubectl = program(cache / "envtest-v1.36.1", "kubectl")
    lines: list[str] = []
    assert locate("etcd", "kubectl", say=lines.append) == {"etcd": etcd, "kubectl": kubectl}
    assert lines == [f"using etcd of {etcd.parent}", f"using kubectl of {kubectl.parent}"]


@pytest.mark.parametrize(
    ("there", "lacking"),
    [((), "kube-apiserver and no program etcd"), (("etcd",), "kube-apiserver")],
)
def test_locate_refuses_assets_without_the_servers(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], lacking: str
) -> None:
    """A folder without a server is an error, not silently replaced."""
    assets = tmp_path / "assets"
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    for name in there:
        program(assets, name)
    for name in ("etcd", "kube-apiserver"):
        program(cache / "envtest-v1.36.1", name)
    with pytest.raises(SandboxError) as error:
        locate("etcd", say=no_words)
    told = f"KUBEBUILDER_ASSETS={assets} has no program {lacking}: correct it or unset it"
    assert str(error.value) == told


def test_locate_takes_the_newest_release_of_the_archive(cache: Path, site: "Site") -> None:
    """The highest patch of our minor version is unpacked, not previews or other minors."""
    for version in ("v1.36.2", "v1.36.10", "v1.36.9", "v1.36.11-rc.1", "v1.37.0"):
        site.publish(version)
    found = locate("etcd", "kube-apiserver", say=no_words)
    assert found["etcd"].read_text() == "etcd v1.36.10"
    assert found["kube-apiserver"] == cache / "envtest-v1.36.10" / "kube-apiserver"
    shutil.rmtree(site.folder)
    assert locate("kubectl", say=no_words)["kubectl"].parent == cache / "envtest-v1.36.10"


def test_locate_stops_at_a_wrong_checksum(cache: Path, site: "Site") -> None:
    """An archive whose checksum differs is an error, not a reason to try another way."""
    site.publish("v1.36.2", sha512="0" * 128)
    with pytest.raises(SandboxError, match="nothing of it was used"):
        locate("etcd", say=no_words)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_locate_stops_at_an_archive_without_the_program(site: "Site") -> None:
    """An archive with a right checksum and a wrong content is an error too."""
    site.publish("v1.36.2", programs=("etcd", "kubectl"))
    with pytest.raises(SandboxError, match="has no program controller-tools/envtest/kube-api"):
        locate("kube-apiserver", say=no_words)


@pytest.mark.parametrize("leftover", ["etcd.partial", "etcd"])
def test_locate_never_uses_a_half_written_file(cache: Path, leftover: str) -> None:
    """Only a file with its final name, and executable, counts as a program."""
    program(cache / "envtest-v1.36.2", leftover, mode=0o644)
    with pytest.raises(SandboxError, match="no etcd here"):
        locate("etcd", say=no_words)


@pytest.mark.usefixtures("cache")
def test_locate_without_network_and_go_says_what_to_do() -> None:
    """Without archive and Go, one line says why there is no archive, and the error has both remedies."""
    lines: list[str] = []
    with pytest.raises(SandboxError, match=r"Install Go 1\.26 or newer .*KUBEBUILDER_ASSETS"):
        locate("kube-apiserver", say=lines.append)
    assert [line.partition(" (")[0] for line in lines] == ["no envtest archive is available"]


def test_locate_builds_what_cannot_be_had(cache: Path, tmp_path: Path) -> None:
    """Without an archive Go builds the pinned version, once."""
    script = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho built > "$2"\n'
    go = program(tmp_path / "bin", "go", script)
    found = locate("etcd", say=no_words)["etcd"]
    assert (found.parent.parent, found.read_text()) == (cache, "built\n")
    go.unlink()
    assert locate("etcd", say=no_words)["etcd"] == found


@pytest.mark.usefixtures("cache")
def test_locate_shows_why_a_build_failed(tmp_path: Path) -> None:
    """The error has the last lines of Go's output, and no file is left that looks like a program."""
    program(tmp_path / "bin", "go", "#!/bin/sh\necho no space left on device\nexit 1\n")
    with pytest.raises(SandboxError, match="no space left on device"):
        locate("etcd", say=no_words)
    with pytest.raises(SandboxError, match="no space left on device"):
        locate("etcd", say=no_words)


@pytest.mark.usefixtures("cache")
def test_a_source_that_can_not_be_had_is_named(tmp_path: Path) -> None:
    """The error has the module and its version, and Go's own words: a test that skips for it shows both."""
    program(tmp_path / "bin", "go", "#!/bin/sh\necho connection refused >&2\nexit 1\n")
    version = gobuild.SOURCES["argocd"].module_version
    said = rf"the source of argocd, github\.com/argoproj/argo-cd/v3 {version}, .*\n.*connection refused"
    with pytest.raises(SandboxError, match=said):
        gobuild.module_folder("argocd")


def test_locate_waits_for_another_process(cache: Path) -> None:
    """A process that finds the cache locked says so, waits, and uses what the other one made."""
    cache.mkdir(parents=True)
    waiting = threading.Event()
    found: dict[str, Path] = {}

    def say(line: str) -> None:
        if line.startswith("waiting: another process"):
            waiting.set()

    thread = threading.Thread(target=lambda: found.update(locate("etcd", say=say)))
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        assert waiting.wait(30)
        etcd = program(cache / "envtest-v1.36.2", "etcd")
    thread.join()
    assert found == {"etcd": etcd}


@pytest.mark.parametrize("name", pki.SERVER_NAMES)
def test_serving_certificate_is_valid_for_each_name(name: str) -> None:
    """A strict verifier accepts the server under every name that clients use."""
    authority = pki.Authority("test CA")
    key, certificate = authority.serving()
    leaf = x509.load_pem_x509_certificate(certificate)
    subject: x509.verification.Subject = x509.DNSName(name)
    if name[0].isdigit():
        subject = x509.IPAddress(ip_address(name))
    policy = PolicyBuilder().store(Store([authority.certificate]))
    assert policy.build_server_verifier(subject).verify(leaf, [])
    assert load_pem_private_key(key, None).public_key() == leaf.public_key()


@pytest.mark.parametrize(
    ("key", "key_format", "heading"),
    [
        ("ec", "traditional", b"-----BEGIN EC PRIVATE KEY-----"),
        ("ec", "pkcs8", b"-----BEGIN PRIVATE KEY-----"),
        ("rsa", "traditional", b"-----BEGIN RSA PRIVATE KEY-----"),
        ("rsa", "pkcs8", b"-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_secret_is_as_cert_manager_writes_it(key: Any, key_format: Any, heading: bytes) -> None:
    """Type, metadata, chain and key are those of a real Secret."""
    issuer = Issuer(now=NOW)
    secret = issuer.secret("homarr-dev-tls", NAMES, key=key, key_format=key_format)
    metadata = secret["metadata"]
    assert object_path(secret) == "/api/v1/namespaces/certificates-ops/secrets/homarr-dev-tls"
    assert secret["type"] == "kubernetes.io/tls"
    assert metadata["labels"] == {"controller.cert-manager.io/fao": "true"}
    assert metadata["annotations"]["cert-manager.io/alt-names"] == ",".join(NAMES)
    assert metadata["annotations"]["cert-manager.io/certificate-name"] == "homarr-dev-tls"
    leaf, intermediate = chain_of(secret)
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(issuer.root.certificate)
    assert key_of(secret).public_key() == leaf.public_key()
    assert data(secret, "tls.key").startswith(heading)
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_renew_gives_another_key_and_a_later_certificate(key: Any) -> None:
    """However fast renewals follow each other, each is newer than the last, and not in the future."""
    issuer = Issuer(now=NOW)
    secret = issuer.secret("homarr-dev-tls", NAMES, key=key, ca_crt=True, labels={"team": "home"})
    for _ in range(6):
        renewed = issuer.renew(secret)
        old, new = leaf_of(secret), leaf_of(renewed)
        assert old.not_valid_before_utc < new.not_valid_before_utc <= NOW
        assert old.public_key() != new.public_key() == key_of(renewed).public_key()
        assert dns_names_of(new) == NAMES
        assert renewed["metadata"] == secret["metadata"]
        assert renewed["data"].keys() == secret["data"].keys()
        secret = renewed


def is_temporary(secret: Manifest) -> bool:
    return leaf_of(secret).issuer.rfc4514_string() == "CN=cert-manager.local" and len(chain_of(secret)) == 1


def told_by(secret: Manifest) -> dict[str, Any]:
    """Return a Secret's facts without those that differ between issuances."""
    (leaf,) = chain_of(secret)
    return {
        "issuer": leaf.issuer,
        "subject": leaf.subject,
        "extensions": [(one.oid, one.critical) for one in leaf.extensions],
        "usage": leaf.extensions.get_extension_for_class(x509.KeyUsage).value,
        "names": dns_names_of(leaf),
        "hash": leaf.signature_algorithm_oid,
        "metadata": secret["metadata"],
        "type": secret["type"],
        "keys": sorted(secret["data"]),
        "key": data(secret, "tls.key").splitlines()[0],
    }


def test_a_temporary_certificate_is_made_as_cert_manager_makes_it() -> None:
    """The sandbox's Secret has the same facts as one of cert-manager's own code, without serialNumber."""
    real, _ = recorded.temporary("issuer")
    made = unfit.temporary(Issuer(now=NOW), real["metadata"]["name"], dns_names_of(leaf_of(real)))
    assert told_by(made) == told_by(real)
    assert made["data"].keys() == {"tls.crt", "tls.key"}
    assert not leaf_of(made).subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)


def is_ca(secret: Manifest) -> bool:
    constraints = leaf_of(secret).extensions.get_extension_for_class(x509.BasicConstraints)
    return constraints.value.ca and "ca.crt" in secret["data"]


def is_in_reverse(secret: Manifest) -> bool:
    first, second = chain_of(secret)
    second.verify_directly_issued_by(first)
    return key_of(secret).public_key() == second.public_key()


UNFIT: dict[str, tuple[Callable[[Issuer, str, list[str]], Manifest], Callable[[Manifest], bool]]]
UNFIT = {
    "temporary": (unfit.temporary, is_temporary),
    "not issued": (unfit.not_issued, lambda secret: secret["data"]["tls.crt"] == ""),
    "expired": (unfit.expired, lambda secret: leaf_of(secret).not_valid_after_utc < NOW),
    "not yet valid": (
        unfit.not_yet_valid,
        lambda secret: leaf_of(secret).not_valid_before_utc > NOW + timedelta(hours=1),
    ),
    "mismatched key": (
        unfit.mismatched_key,
        lambda secret: key_of(secret).public_key() != leaf_of(secret).public_key(),
    ),
    "encrypted key": (
        unfit.encrypted_key,
        lambda secret: data(secret, "tls.key").startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-"),
    ),
    "weak key": (unfit.weak_key, lambda secret: key_of(secret).key_size == 1024),
    "reversed chain": (unfit.reversed_chain, is_in_reverse),
    "authority": (lambda issuer, name, _names: unfit.authority(issuer, name), is_ca),
    "opaque": (
        lambda issuer, name, _names: unfit.opaque(issuer, name),
        lambda secret: secret["type"] == "Opaque" and "tls.crt" not in secret["data"],
    ),
    "staged key": (
        lambda issuer, name, _names: unfit.staged_key(issuer, name),
        lambda secret: (
            secret["type"] == "Opaque"
            and secret["data"].keys() == {"tls.key"}
            and secret["metadata"]["labels"]["cert-manager.io/next-private-key"] == "true"
        ),
    ),
}


@pytest.mark.parametrize(("make", "is_so"), UNFIT.values(), ids=UNFIT)
def test_unfit_secret_is_unfit_in_its_way(
    make: Callable[[Issuer, str, list[str]], Manifest], is_so: Callable[[Manifest], bool]
) -> None:
    """Each Secret has the defect in its name."""
    assert is_so(make(Issuer(now=NOW), "homarr-dev-tls", NAMES))


def no_words(line: str) -> None:
    pass


def data(secret: Manifest, key: str) -> bytes:
    return base64.b64decode(secret["data"][key], validate=True)


def chain_of(secret: Manifest) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(data(secret, "tls.crt"))


def key_of(secret: Manifest) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    key = load_pem_private_key(data(secret, "tls.key"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key


def test_a_program_of_ours_is_built_anew_when_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is a digest of all files of its module; that of another module is in go.mod."""
    (tmp_path / "controllers").mkdir()
    (tmp_path / "go.mod").write_text("require example.org/module v1.2.3\n")
    main = tmp_path / "controllers" / "main.go"
    main.write_text("package main")
    monkeypatch.setattr(gobuild.Source, "directory", tmp_path)
    ours = gobuild.Source("ours", "example.org/module", "./controllers", 1)
    before = ours.version
    assert before.startswith("ours-")
    main.write_text("package main // changed")
    assert ours.version != before
    assert gobuild.Source("theirs", "example.org/module", "example.org/module/cmd", 1).version == "v1.2.3"


def test_an_audit_log_of_an_unauthenticated_request() -> None:
    """A busy API server gives up authenticating a request, and names no user; a line may be incomplete."""
    log = '{"user": {}}\n{"user": {"username": "one"}}\n{"user": {"usern'
    assert [entry["user"]["username"] for entry in audit_entries(log)] == ["", "one"]
