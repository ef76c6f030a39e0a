"""Images without a registry: tls-sync's image on a base of this machine's Debian, and the pause image.

The cache keeps them by a digest of their content.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.node import base_image, pip_configuration
from deployments.sandbox.node.builder import Builder
from deployments.sandbox.node.container_runtime import PAUSE_IMAGE
from deployments.sandbox.programs.binaries import cached, locate
from deployments.sandbox.progress import Say

IMAGE = "localhost/tls-sync:e2e"
_KEPT = 2
BASE = "localhost/tls-sync-base:1"
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
    with Builder.temporary(say) as builder:
        add_base(builder, base)
        build(builder, IMAGE, [f"--build-arg=BASE={BASE}"])
        builder.save(IMAGE, archive)
    _delete_old(archive.parent)


def add_base(builder: Builder, base: Path, options: Sequence[str] = ()) -> None:
    """Give the builder an image BASE with the root of a tar file."""
    builder.build_from({"rootfs.tar": base}, "FROM scratch\nADD rootfs.tar /\n", BASE, options)


def build(builder: Builder, image: str, options: Sequence[str]) -> None:
    """Build what deployments/Dockerfile says, with the settings that pip has on this machine."""
    found = pip_configuration.settings()
    secret = builder.directory / "pip.conf"
    pip_configuration.write(secret, found)
    mounts = [f"--volume={path}:{path}:ro" for path in pip_configuration.paths(found)]
    builder.build(_ROOT, _DOCKERFILE, image, [*mounts, f"--secret=id=pip.conf,src={secret}", *options])


def _delete_old(folder: Path) -> None:
    """Delete old images: each change of the code makes another one of 400 MB."""
    archives = sorted(folder.glob("tls-sync-*.tar"), key=lambda file: file.stat().st_mtime)
    for archive in archives[:-_KEPT]:
        archive.unlink(missing_ok=True)


def _build_pause(program: Path, archive: Path, say: Say) -> None:
    with Builder.temporary(say) as builder:
        content = 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
        builder.build_from({"pause": program}, content, PAUSE_IMAGE)
        builder.save(PAUSE_IMAGE, archive)


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
