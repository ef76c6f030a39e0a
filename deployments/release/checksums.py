"""Checksums of the release's files, signed, and the page with all of them."""

import hashlib
import shutil
from pathlib import Path

from deployments import config_schema
from deployments.release.project import FOLDER, Project, ReleaseError, notes
from deployments.release.tools import run_tool

SUMS = "SHA256SUMS"
_BUNDLE = f"{SUMS}.sigstore.json"
_PATTERNS = ("*.tgz", "*.cdx.json", config_schema.PATH.name)


def write(folder: Path) -> Path:
    """Write the checksums of all files in the form of sha256sum, and return the file."""
    shutil.copyfile(config_schema.PATH, folder / config_schema.PATH.name)
    files = files_of(folder)
    if len(files) == 1:
        raise ReleaseError(f"{folder} has neither a chart nor lists of contents: build them first")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    sums = folder / SUMS
    sums.write_text("".join(lines))
    return sums


def files_of(folder: Path) -> list[Path]:
    """Return the files that people download, by name."""
    return sorted(path for pattern in _PATTERNS for path in folder.glob(pattern))


def sign(sums: Path) -> Path:
    """Sign the checksums, keyless, and return the bundle of signature and certificate."""
    bundle = sums.with_name(_BUNDLE)
    run_tool("cosign", "sign-blob", "--yes", "--bundle", bundle, sums)
    return bundle


def publish(project: Project) -> None:
    """Make the page of the release, with its section of the changelog and all files."""
    sums = write(FOLDER)
    bundle = sign(sums)
    text = FOLDER / "notes.md"
    text.write_text(notes(project.version))
    tag = f"v{project.version}"
    options = ["--verify-tag", "--title", tag, "--notes-file", str(text)]
    run_tool("gh", "release", "create", tag, *options, *files_of(FOLDER), sums, bundle)
