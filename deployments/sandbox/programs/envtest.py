"""The archive of programs that kubernetes-sigs/controller-tools publishes for each platform."""

import hashlib
import http.client
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from io import BufferedRandom
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say

INDEX_VARIABLE = "TLS_SYNC_ENVTEST_INDEX"
_INDEX = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
_FOLDER_IN_ARCHIVE = "controller-tools/envtest"
_SECONDS_WITHOUT_AN_ANSWER = 5
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class NoArchiveError(Exception):
    """No archive is available, which is no failure: the programs can be built."""


class Archive(NamedTuple):
    """One entry of the index."""

    version: str
    url: str
    sha512: str


def this_platform() -> str:
    """Return the platform as Go and the archives name it: linux-amd64."""
    machine = platform.machine()
    return f"{sys.platform}-{_ARCHITECTURES.get(machine, machine)}"


def fetch(cache: Path, minor: str, say: Say) -> Path:
    """Unpack the newest archive of a minor version, such as 1.36, into the cache; return its folder.

    Raises NoArchiveError where there is none, and SandboxError where its checksum differs: that must not
    go unnoticed.
    """
    with tempfile.TemporaryFile(dir=cache) as file:
        try:
            archive = _newest(_read_index(), minor)
            say(f"downloading {archive.url}")
            _download(archive.url, file)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoArchiveError(str(error)) from error
        _verify(file, archive)
        folder = cache / f"envtest-{archive.version}"
        _unpack(file, folder, archive)
    return folder


def _read_index() -> dict[str, Any]:
    url = os.environ.get(INDEX_VARIABLE) or _INDEX
    with _open(url) as response:
        try:
            index = yaml.safe_load(response.read())
        except yaml.YAMLError as error:
            raise NoArchiveError(f"{url} isn't YAML") from error
    releases = index.get("releases") if isinstance(index, dict) else None
    if not isinstance(releases, dict):
        raise NoArchiveError(f"{url} isn't an index of envtest archives")
    return releases


def _newest(releases: dict[str, Any], minor: str) -> Archive:
    """Return the highest patch release, without previews such as v1.36.0-rc.1."""
    wanted = re.compile(rf"v{re.escape(minor)}\.(\d+)")
    patches = {int(match[1]): name for name in releases if (match := wanted.fullmatch(name))}
    for patch in sorted(patches, reverse=True):
        version = patches[patch]
        entry = releases[version].get(f"envtest-{version}-{this_platform()}.tar.gz")
        if entry:
            return Archive(version, entry["selfLink"], entry["hash"])
    raise NoArchiveError(f"none is listed for Kubernetes {minor} on {this_platform()}")


def _download(url: str, file: BufferedRandom) -> None:
    with _open(url) as response:
        shutil.copyfileobj(response, file)


def _open(url: str) -> http.client.HTTPResponse:
    # Any scheme is allowed: one URL is ours or the developer's, the other has a checksum.
    response = urllib.request.urlopen(url, timeout=_SECONDS_WITHOUT_AN_ANSWER)  # noqa: S310
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _verify(file: BufferedRandom, archive: Archive) -> None:
    file.seek(0)
    found = hashlib.file_digest(file, "sha512").hexdigest()
    if found != archive.sha512:
        raise SandboxError(
            f"{archive.url} has the SHA-512 {found[:16]}…, but the index names "
            f"{archive.sha512[:16]}…: nothing of it was used. Try again, or set KUBEBUILDER_ASSETS "
            "to a folder with the programs if it happens again."
        )


def _unpack(file: BufferedRandom, folder: Path, archive: Archive) -> None:
    """Extract only the known programs."""
    file.seek(0)
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=file, mode="r:gz") as members:
        for name in PROGRAMS:
            try:
                member = members.extractfile(f"{_FOLDER_IN_ARCHIVE}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise SandboxError(f"{archive.url} has no program {_FOLDER_IN_ARCHIVE}/{name}")
            partial = folder / f"{name}.partial"
            with member, partial.open("wb") as output:
                shutil.copyfileobj(member, output)
            publish(partial, folder / name)


def publish(partial: Path, program: Path) -> None:
    """Rename a complete file to its final name, atomically."""
    partial.chmod(0o755)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(program)
