"""A machine that has run out of something: no space in /tmp, no file descriptor left."""

import base64
import ctypes
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deployments.sandbox.clusters import pki
from deployments.sandbox.world.invariants import Oracle
from deployments.sandbox.world.kubeconfig import context_name
from deployments.sandbox.world.oracle import ACCOUNT
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport
from tasks.orchestration import process
from tasks.target.sync import sync
from tests.support.clusters import Manifest, World, codes

pytestmark = pytest.mark.apiserver

NAMES = tuple(f"web-{number}-tls" for number in range(8))
CLONE_NEWNS = 0x00020000


def in_a_child(prepare: Callable[[], None], world: World) -> ClusterReport:
    """What a process of its own makes of DEV, under a condition that it alone has."""
    spec = world.spec()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            prepare()
            report = sync(spec, time.monotonic() + 60).model_dump_json().encode()
            while report:
                report = report[os.write(writing, report) :]
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return ClusterReport.model_validate(json.loads(text))


def converges(world: World, oracle: Oracle, report: ClusterReport) -> None:
    """What was reported was written, nothing is half done, and the next run does the rest."""
    told = [f"{change.target}" for change in report.changes if change.applied]
    assert oracle.objections() + oracle.misreported({"dev": told}) == []
    assert world.sync().ok
    oracle.look()
    assert world.sync().ok
    assert oracle.writes_tried() == []


def leave_descriptors(count: int) -> None:
    """So many files can still be opened by this process, and no more."""
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 64, highest + 64))
    spare = []
    with suppress(OSError):
        while True:
            spare.append(os.open("/dev/null", os.O_RDONLY))
    for descriptor in spare[:count]:
        os.close(descriptor)


@pytest.mark.parametrize("left", [0, 1, 2, 3, 4, 5, 7, 10, 40])
def test_without_a_descriptor_left_a_run_says_so(world: World, left: int) -> None:
    """However few files can be opened: a coded failure or a success, and the next run converges."""
    world.issue(*NAMES)
    oracle = world.oracle()
    report = in_a_child(lambda: leave_descriptors(left), world)
    told = set(codes(report))
    assert told <= {FailureCode.UNREACHABLE, FailureCode.CONNECTION_LOST, FailureCode.KUBECONFIG}
    assert report.ok == (not told)
    assert not (report.ok and left < 2)  # a connection takes two
    assert report.ok or left < 40
    converges(world, oracle, report)


def fill(directory: Path) -> Callable[[], None]:
    """No file in it can grow: a full file system of its own; or, where we may not mount one, a limit."""

    def prepare() -> None:
        tempfile.tempdir = str(directory)
        if ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0:  # its mounts are this process's own, and end with it
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", directory], check=True)
            with suppress(OSError), (directory / "full").open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 512)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    return prepare


@pytest.fixture
def with_a_client_certificate(world: World) -> None:
    """DEV knows tls-sync by a certificate, which OpenSSL wants at a path."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    (user,) = (user for user in document["users"] if user["name"] == context_name("dev"))
    user["user"] = client_certificate(world.sandbox.authority)
    world.kubeconfig.write_text(yaml.safe_dump(document))


def client_certificate(authority: pki.Authority) -> Manifest:
    """A user whose name is that of tls-sync's account."""
    key, now = pki.new_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ACCOUNT)])
    builder = x509.CertificateBuilder(authority.name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    pair = {"client-certificate-data": pki.pem(certificate), "client-key-data": pki.key_pem(key)}
    return {name: base64.b64encode(content).decode() for name, content in pair.items()}


def without_tmp(directory: Path) -> Callable[[], None]:
    """Nothing can be written there, and nobody else looks into the process."""

    def prepare() -> None:
        tempfile.tempdir = str(directory / "missing")
        process.forbid_dumps()

    return prepare


@pytest.mark.usefixtures("with_a_client_certificate")
def test_a_client_certificate_needs_no_tmp(world: World, tmp_path: Path) -> None:
    """OpenSSL reads it from memory, and the API server knows us by it."""
    world.issue(*NAMES)
    oracle = world.oracle()
    report = in_a_child(without_tmp(tmp_path), world)
    assert report.ok
    converges(world, oracle, report)


@pytest.mark.usefixtures("with_a_client_certificate")
def test_without_files_in_memory_a_full_tmp_fails_the_cluster_of_a_client_certificate(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be written is said before any request; with room again the next run converges."""
    monkeypatch.delattr(os, "memfd_create")
    world.issue(*NAMES)
    (tmp_path / "tmp").mkdir()
    oracle = world.oracle()
    report = in_a_child(fill(tmp_path / "tmp"), world)
    assert codes(report) == [FailureCode.KUBECONFIG]
    assert "/tmp" in str(report.failures[0])
    assert list((tmp_path / "tmp").iterdir()) == []
    converges(world, oracle, report)


def test_with_a_full_tmp_tokens_do(world: World, tmp_path: Path) -> None:
    """Where tokens are used nothing is written to /tmp, so a full one costs nothing."""
    world.issue(*NAMES)
    (tmp_path / "tmp").mkdir()
    oracle = world.oracle()
    report = in_a_child(fill(tmp_path / "tmp"), world)
    assert report.ok
    converges(world, oracle, report)
