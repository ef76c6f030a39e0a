"""Images without a registry: tls-sync's image on a base of this machine's Debian, and the pause image.

The cache keeps them by a digest of their content.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deployments.sandbox.node import base_image, pip_configuration
from deployments.sandbox.node.container_runtime import PAUSE_IMAGE
from deployments.sandbox.programs.binaries import cached, locate
from deployments.sandbox.progress import Say
from deployments.sandbox.work import run

IMAGE = "localhost/tls-sync:e2e"
_KEPT = 2
_BASE = "localhost/tls-sync-base:1"
_ROOT = Path(__file__).parents[3]
_DOCKERFILE = _ROOT / "deployments" / "Dockerfile"


def application(say: Say) -> Path:
    """Return an archive of the image that deployments/Dockerfile builds from this checkout."""
    base = base_image.archive(say)
    name = f"tls-sync-{digest(base)}.tar"
    return cached("images", name, say, lambda path: _build_application(base, path, say))


def pause(say: Say) -> Path:
    program = locate("pause", say=say)["pause"]
    return cached("images", f"{program.parent.name}.tar", say, lambda path: _build_pause(program, path, say))


def _build_application(base: Path, archive: Path, say: Say) -> None:
    with _Builder.temporary(say) as builder:
        builder.build_from({"rootfs.tar": base}, "FROM scratch\nADD rootfs.tar /\n", _BASE)
        found = pip_configuration.settings()
        secret = builder.directory / "pip.conf"
        pip_configuration.write(secret, found)
        mounts = [f"--volume={path}:{path}:ro" for path in pip_configuration.paths(found)]
        secrets = [f"--secret=id=pip.conf,src={secret}", f"--build-arg=BASE={_BASE}"]
        builder.build(_ROOT, _DOCKERFILE, IMAGE, [*mounts, *secrets])
        builder.save(IMAGE, archive)
    _delete_old(archive.parent)


def _delete_old(folder: Path) -> None:
    """Delete old images: each change of the code makes another one of 400 MB."""
    archives = sorted(folder.glob("tls-sync-*.tar"), key=lambda file: file.stat().st_mtime)
    for archive in archives[:-_KEPT]:
        archive.unlink(missing_ok=True)


def _build_pause(program: Path, archive: Path, say: Say) -> None:
    with _Builder.temporary(say) as builder:
        content = 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
        builder.build_from({"pause": program}, content, PAUSE_IMAGE)
        builder.save(PAUSE_IMAGE, archive)


class _Builder:
    """buildah with its own store, independent of the machine's configuration for containers."""

    def __init__(self, directory: Path, say: Say) -> None:
        self.directory = directory
        self._say = say
        self._policy = directory / "policy.json"
        self._policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))

    @classmethod
    @contextmanager
    def temporary(cls, say: Say) -> Iterator["_Builder"]:
        directory = Path(tempfile.mkdtemp(prefix="tls-sync-images-"))
        try:
            yield cls(directory, say)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def build_from(self, files: dict[str, Path], dockerfile: str, image: str) -> None:
        context = self.directory / "context"
        context.mkdir()
        for name, file in files.items():
            _link(file, context / name)
        path = self.directory / "Dockerfile"
        path.write_text(dockerfile)
        self.build(context, path, image)
        shutil.rmtree(context)

    def build(self, context: Path, dockerfile: Path, image: str, options: Sequence[str] = ()) -> None:
        named = [f"--file={dockerfile}", f"--tag={image}", f"--signature-policy={self._policy}"]
        self._run(f"building {image}", ["build", "--isolation=chroot", *named, *options, context])

    def save(self, image: str, archive: Path) -> None:
        policy = f"--signature-policy={self._policy}"
        self._run(f"saving {image}", ["push", policy, image, f"docker-archive:{archive}:{image}"])

    def _run(self, what: str, arguments: Sequence[str | Path]) -> None:
        store = [f"--root={self.directory}/store", f"--runroot={self.directory}/run", "--storage-driver=vfs"]
        log = self.directory / "buildah.log"
        run(what, ["/usr/bin/buildah", *store, *arguments], log, self._say)


def digest(base: Path) -> str:
    """Return a digest of all that the Dockerfile copies into the image."""
    digest = hashlib.sha256(base.name.encode())
    for file in [_DOCKERFILE, _ROOT / ".dockerignore", *_copied()]:
        digest.update(f"{file.relative_to(_ROOT)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _copied() -> list[Path]:
    words = [line.split() for line in _DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    sources = [word for line in words if not line[1].startswith("--from") for word in line[1:-1]]
    files: set[Path] = set()
    for source in (_ROOT / source for source in sources):
        files |= set(source.rglob("*")) if source.is_dir() else {source}
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _link(file: Path, path: Path) -> None:
    """Link a file into the context, or copy it to another file system: it can have hundreds of MB."""
    try:
        os.link(file, path)
    except OSError:
        shutil.copyfile(file, path)
