"""Images in a folder in the layout of OCI, as buildah writes them: one for each platform."""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_WHITEOUT = ".wh."
"""In front of a name: this layer removes what a lower one has."""


@dataclass(frozen=True)
class Image:
    digest: str
    """Of its manifest, as a registry has it, too."""
    config: dict[str, Any]
    layers: tuple[Path, ...]
    """Compressed, the lowest one first."""

    @property
    def platform(self) -> str:
        return f"{self.config['os']}/{self.config['architecture']}"

    @property
    def layer_digests(self) -> list[str]:
        """Of the layers without compression."""
        digests: list[str] = self.config["rootfs"]["diff_ids"]
        return digests

    def files(self, pattern: str) -> dict[str, bytes]:
        """Return the files whose whole path matches an expression, as the container sees them."""
        found: dict[str, bytes] = {}
        for layer in self.layers:
            added = {}
            for path, content in _entries(layer, re.compile(pattern)):
                if content is None:
                    found = {one: kept for one, kept in found.items() if not f"{one}/".startswith(f"{path}/")}
                else:
                    added[path] = content
            found |= added
        return found


def images(folder: Path) -> list[Image]:
    """Return the images of a layout; those of an index are taken apart."""
    return [one for found in _read(folder / "index.json")["manifests"] for one in _images(folder, found)]


def digest(folder: Path) -> str:
    """Return the digest of what the layout holds: of the index of all platforms, or of the one image."""
    (found,) = _read(folder / "index.json")["manifests"]
    return str(found["digest"])


def _images(folder: Path, descriptor: dict[str, Any]) -> Iterator[Image]:
    document = _read(_blob(folder, descriptor))
    if "manifests" in document:
        for one in document["manifests"]:
            yield from _images(folder, one)
        return
    layers = tuple(_blob(folder, layer) for layer in document["layers"])
    yield Image(descriptor["digest"], _read(_blob(folder, document["config"])), layers)


def _entries(layer: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the files of a layer that match, and, without content, what it removes."""
    with tarfile.open(layer) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.name.startswith(_WHITEOUT):
                yield str(path.with_name(path.name.removeprefix(_WHITEOUT))), None
            elif member.isfile() and pattern.fullmatch(str(path)) and (file := tar.extractfile(member)):
                yield str(path), file.read()


def _blob(folder: Path, descriptor: dict[str, Any]) -> Path:
    return folder / "blobs" / str(descriptor["digest"]).replace(":", "/")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
