"""Makes small images in the layout of OCI."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

PYTHON = "opt/venv/lib/python3.13/site-packages"
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12
Description: the C library
 Status: of a description's second line

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:1.0
"""

Layer = dict[str, str]


def metadata(name: str, version: str, licence: str = "") -> str:
    more = f"License-Expression: {licence}\n" if licence else ""
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\nName: of the description\n"


def write_layout(folder: Path, *platforms: tuple[str, list[Layer]]) -> Path:
    """Write an index with an image for each architecture, and return the folder."""
    manifests = [_image(folder, architecture, layers) for architecture, layers in platforms]
    index = _blob(folder, {"schemaVersion": 2, "manifests": manifests})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    return folder


def _image(folder: Path, architecture: str, layers: list[Layer]) -> dict[str, Any]:
    tars = [_tar(layer) for layer in layers]
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {"Env": ["PATH=/bin:=", "PYTHON_VERSION=3.13.15"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
    }
    packed = [_blob(folder, gzip.compress(tar, mtime=0)) for tar in tars]
    return _blob(folder, {"schemaVersion": 2, "config": _blob(folder, config), "layers": packed})


def _tar(files: Layer) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def _blob(folder: Path, content: bytes | dict[str, Any]) -> dict[str, Any]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path = folder / "blobs" / _digest(data).replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
