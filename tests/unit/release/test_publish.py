"""What is published is what was built, and what is signed is what was published, by its digest."""

import json
import os
from pathlib import Path

import pytest

from deployments.release import chart, checksums, image, layout
from deployments.release.project import Project, ReleaseError
from deployments.release.sbom import locked_versions
from tests.unit.release.oci import PYTHON, Layer, metadata, write_layout
from tests.unit.release.test_project_files import ROOT

PROJECT = Project(version="0.1.0", commit="0" * 40, time=1_800_000_000)
REGISTRY = "registry.example.org/team"
DIGEST = f"sha256:{'cd' * 32}"
_PROGRAM = f"""#!/bin/sh
printf '%s ' "$(basename "$0")" "$@" >>"$LOG"
echo >>"$LOG"
test "$(basename "$0") $1" != "helm push" || echo "Digest: {DIGEST}" >&2
test "$(basename "$0")" != "$FAILING"
"""


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has a line for each call of a program that publishes; none of them reaches a registry."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("skopeo", "cosign", "gh", "helm"):
        (programs / name).write_text(_PROGRAM)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "called"))
    monkeypatch.setenv("FAILING", "")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setattr(image, "FOLDER", tmp_path)
    monkeypatch.setattr(image, "LAYOUT", tmp_path / "image")
    monkeypatch.setattr(checksums, "FOLDER", tmp_path)
    monkeypatch.setattr(chart, "locate", lambda *_, **__: {"helm": programs / "helm"})
    version = locked_versions((ROOT / "requirements-image.txt").read_text())["typing-extensions"]
    metadata_path = f"{PYTHON}/typing_extensions-{version}.dist-info/METADATA"
    layers: list[Layer] = [{metadata_path: metadata("typing_extensions", version)}]
    write_layout(tmp_path / "image", ("amd64", layers), ("arm64", [*layers, {"a": "b"}]))
    return tmp_path / "called"


def calls(file: Path) -> list[str]:
    return [line.rstrip() for line in file.read_text().splitlines()]


def test_the_image_is_pushed_before_it_is_signed(called: Path) -> None:
    """The index and each platform's list of contents are signed by the digests that the layout has."""
    digest = layout.digest(image.LAYOUT)
    one, other = layout.images(image.LAYOUT)
    assert image.publish(PROJECT, REGISTRY) == digest
    name, files = f"{REGISTRY}/tls-sync", sorted(called.parent.glob("*.cdx.json"))
    attest = "cosign attest --yes --type cyclonedx --predicate"
    assert calls(called) == [
        f"skopeo copy --all --preserve-digests oci:{image.LAYOUT} docker://{name}:0.1.0",
        f"cosign sign --yes --recursive {name}@{digest}",
        f"{attest} {files[0]} {name}@{one.digest}",
        f"{attest} {files[1]} {name}@{other.digest}",
    ]
    told = [json.loads(path.read_text())["metadata"]["properties"][0]["value"] for path in files]
    assert told == [one.platform, other.platform]
    assert (called.parent / "output").read_text() == f"name={name}\ndigest={digest}\n"


def test_what_could_not_be_pushed_is_not_signed(called: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program fails, nothing follows, and no later step of a workflow gets a digest."""
    monkeypatch.setenv("FAILING", "skopeo")
    with pytest.raises(ReleaseError, match="skopeo copy failed"):
        image.publish(PROJECT, REGISTRY)
    assert len(calls(called)) == 1
    assert not (called.parent / "output").exists()


def test_the_chart_is_signed_by_the_digest_that_helm_says(
    called: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart names the image's digest, and the signature the chart's own."""
    given = []

    def pack(*arguments: object) -> Path:
        given.append(arguments)
        return Path("tls-sync-0.1.0.tgz")

    monkeypatch.setattr(chart, "pack", pack)
    chart.publish(PROJECT, REGISTRY, DIGEST, print)
    assert given == [(PROJECT, print, f"{REGISTRY}/tls-sync", DIGEST)]
    name = f"{REGISTRY}/charts"
    assert calls(called) == [
        f"helm push tls-sync-0.1.0.tgz oci://{name}",
        f"cosign sign --yes {name}/tls-sync@{DIGEST}",
    ]
    assert (called.parent / "output").read_text() == f"name={name}/tls-sync\ndigest={DIGEST}\n"


def test_the_page_has_signed_checksums_and_every_file(called: Path) -> None:
    """The checksums are signed before the page is made, which has them, their signature and each file."""
    folder = called.parent
    (folder / "tls-sync-0.1.0.tgz").write_text("a chart")
    checksums.publish(PROJECT)
    signed, page = calls(called)
    assert signed == f"cosign sign-blob --yes --bundle {folder}/SHA256SUMS.sigstore.json {folder}/SHA256SUMS"
    assert page.startswith("gh release create v0.1.0 --verify-tag --title v0.1.0 --notes-file ")
    files = ["tls-sync-0.1.0.tgz", "tls-sync.schema.json", "SHA256SUMS", "SHA256SUMS.sigstore.json"]
    assert page.split()[-4:] == [f"{folder}/{name}" for name in files]
