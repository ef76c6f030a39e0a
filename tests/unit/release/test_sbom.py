"""The list of contents has what is in the image, and nothing that is not locked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.release import layout
from deployments.release.image import compare
from deployments.release.project import Project, ReleaseError
from deployments.release.sbom import locked_versions, sbom
from tests.unit.release.oci import PYTHON, STATUS, Layer, metadata, write_layout

PROJECT = Project(version="0.1.0", commit="0" * 40, time=1_800_000_000)
LOCK = "pyyaml==6.0.3 \\\n    --hash=sha256:00\nruamel-yaml==0.18.0 ; python_full_version < '3.13' \\\n"
BASE: Layer = {
    "var/lib/dpkg/status": STATUS,
    "usr/lib/os-release": 'ID=debian\nVERSION_ID="13"\n',
    "usr/local/lib/python3.13/site-packages/pip-25.dist-info/METADATA": metadata("pip", "25"),
}
OURS: Layer = {
    f"{PYTHON}/PyYAML-6.0.3.dist-info/METADATA": metadata("PyYAML", "6.0.3", "MIT"),
    f"{PYTHON}/ruamel.yaml-0.18.0.dist-info/METADATA": metadata("ruamel.yaml", "0.18.0"),
}


def document(folder: Path, *layers: Layer) -> dict[str, Any]:
    (image,) = layout.images(write_layout(folder, ("amd64", list(layers))))
    return sbom(image, PROJECT, LOCK)


def test_each_package_of_the_image_is_listed(tmp_path: Path) -> None:
    """Packages have the names by which advisories know them; what is not installed has none."""
    found = document(tmp_path, BASE, OURS)
    assert [one["purl"] for one in found["components"]] == [
        "pkg:pypi/pyyaml@6.0.3",
        "pkg:pypi/ruamel-yaml@0.18.0",
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13",
        "pkg:generic/python@3.13.15",
    ]
    assert found["components"][0]["licenses"] == [{"expression": "MIT"}]
    assert found["metadata"]["component"]["version"] == PROJECT.version
    references = [one["bom-ref"] for one in found["components"]]
    assert len(set(references)) == len(references)


def test_an_image_has_one_list(tmp_path: Path) -> None:
    """Two lists of one image are equal: their number and time are the image's, not the moment's."""
    assert document(tmp_path / "one", BASE, OURS) == document(tmp_path / "two", BASE, OURS)
    other = document(tmp_path / "three", BASE | {"etc/passwd": "root"}, OURS)
    assert other["serialNumber"] != document(tmp_path / "one", BASE, OURS)["serialNumber"]


@pytest.mark.parametrize("name", ["PyYAML-6.0.3.dist-info", "PyYAML-6.0.3.dist-info/METADATA"])
def test_what_an_upper_layer_removes_is_not_there(tmp_path: Path, name: str) -> None:
    """A file of a lower layer is not in the image where an upper one removes it, or its folder."""
    folder, _, last = f"{PYTHON}/{name}".rpartition("/")
    found = document(tmp_path, BASE, OURS, {f"{folder}/.wh.{last}": ""})
    assert "pkg:pypi/pyyaml@6.0.3" not in {one["purl"] for one in found["components"]}
    assert "pkg:pypi/ruamel-yaml@0.18.0" in {one["purl"] for one in found["components"]}


@pytest.mark.parametrize(
    "more",
    [
        {f"{PYTHON}/x-1.dist-info/METADATA": metadata("x", "1")},
        {f"{PYTHON}/y/METADATA": metadata("PyYAML", "1")},
    ],
)
def test_what_is_not_locked_is_no_release(tmp_path: Path, more: Layer) -> None:
    """An image with a package that the lock file does not have, or in another version, is not described."""
    renamed = {name.replace("/y/", "/PyYAML-6.0.3.dist-info/"): text for name, text in more.items()}
    with pytest.raises(ReleaseError, match="but the lock file"):
        document(tmp_path, BASE, OURS, renamed)


def test_an_image_without_packages_is_an_error(tmp_path: Path) -> None:
    """Where the layout has changed, an empty list does not pass for an image without dependencies."""
    with pytest.raises(ReleaseError, match="no Python package"):
        document(tmp_path, BASE)


def test_each_platform_has_its_image(tmp_path: Path) -> None:
    """An index of two platforms leads to two images, each with its own layers."""
    folder = write_layout(tmp_path, ("amd64", [BASE, OURS]), ("arm64", [BASE, {"a": "b"}]))
    one, other = layout.images(folder)
    assert (one.platform, other.platform) == ("linux/amd64", "linux/arm64")
    assert one.layer_digests[0] == other.layer_digests[0]
    assert len({layout.digest(folder), one.digest, other.digest}) == 3


def test_a_layer_that_differs_is_named(tmp_path: Path) -> None:
    """Two builds of a commit have the same layers, or it is an error that names the one that differs."""
    folders = [
        write_layout(tmp_path / name, ("amd64", [BASE, OURS | {"a": text}]))
        for name, text in (("one", "1"), ("two", "1"), ("three", "2"))
    ]
    (one,), (two,), (three,) = map(layout.images, folders)
    assert compare(one, two) == 2
    with pytest.raises(ReleaseError, match="the layers are the same, but sha256:1 is not"):
        compare(replace(one, digest="sha256:1"), two)
    with pytest.raises(ReleaseError, match=f"1 of 2 layers differ.*{one.layer_digests[1]}"):
        compare(one, three)


def test_every_locked_version_is_read() -> None:
    """A marker is no part of the version, and a package without hashes is none that is skipped."""
    assert locked_versions(LOCK) == {"pyyaml": "6.0.3", "ruamel-yaml": "0.18.0"}
