"""The base of our images: Debian with Python, by debootstrap from the mirror of this machine."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import packages
from deployments.sandbox.programs.binaries import cached
from deployments.sandbox.progress import Say
from deployments.sandbox.work import run

_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_EMPTIED = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "var/cache/debconf",
    "usr/share/doc",
    "usr/share/man",
)


def archive(say: Say) -> Path:
    """Return a tar file of the whole root."""
    packages.require(packages.IMAGES)
    suite = _suite()
    name = f"base-{suite}-{hashlib.sha256(repr(_PACKAGES + _EMPTIED).encode()).hexdigest()[:8]}.tar"
    return cached("images", name, say, lambda path: _make(suite, path, say))


def _make(suite: str, path: Path, say: Say) -> None:
    directory = Path(tempfile.mkdtemp(prefix="tls-sync-base-"))
    root, log = directory / "rootfs", directory / "debootstrap.log"
    # In its own namespaces, so that its mounts end with it.
    alone = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    options = ["--variant=minbase", f"--include={','.join(_PACKAGES)}"]
    try:
        run(
            f"making a base of {suite}: about 2 min",
            [*alone, "/usr/sbin/debootstrap", *options, suite, root, _mirror(suite)],
            log,
            say,
        )
        for folder in _EMPTIED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir()
        run("packing the base", ["/usr/bin/tar", "--numeric-owner", "-C", root, "-cf", path, "."], log, say)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _suite() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise SandboxError("/etc/os-release names no VERSION_CODENAME: a base can be made on Debian only")


def _mirror(suite: str) -> str:
    """Return the mirror that apt uses for this release."""
    targets = subprocess.run(
        ["/usr/bin/apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in targets.stdout.splitlines():
        codename, _, address = line.partition(" ")
        if codename == suite:
            return address
    raise SandboxError(f"apt's configuration names no mirror for {suite}")
