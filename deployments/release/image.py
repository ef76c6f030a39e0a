"""The image of a release: built, compared with a second build, described, pushed and signed."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deployments.release import layout
from deployments.release.layout import Image
from deployments.release.project import FOLDER, ROOT, Project, ReleaseError
from deployments.release.sbom import sbom
from deployments.release.tools import run_tool
from deployments.sandbox.node import images
from deployments.sandbox.node.builder import Builder
from deployments.sandbox.progress import Say

PLATFORMS = ("linux/amd64", "linux/arm64")
LAYOUT = FOLDER / "image"
_NAME = "localhost/tls-sync:release"


def build(project: Project, folder: Path, options: Sequence[str], say: Say, base: Path | None = None) -> None:
    """Build the image into a folder, on the Dockerfile's base, or on the root that a tar file has.

    Each file and the image itself have the time of the commit, so that the same commit gives the same image.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    labels = [f"--label={name}={value}" for name, value in project.labels.items()]
    time = f"--timestamp={project.time}"
    named = [f"--manifest={_NAME}", time, "--no-cache", *labels, *options]
    with Builder.temporary(say) as builder:
        if base:
            images.add_base(builder, base, [time])
            named.append(f"--build-arg=BASE={images.BASE}")
        images.build(builder, _NAME, named)
        builder.save_all(_NAME, folder)


def compare(one: Image, other: Image) -> int:
    """Return how many layers two builds of a commit have. Raises ReleaseError where they differ."""
    pairs = zip(one.layer_digests, other.layer_digests, strict=True)
    if different := [first for first, second in pairs if first != second]:
        raise ReleaseError(
            f"built twice, {len(different)} of {len(one.layer_digests)} layers differ: compare the tar files "
            f"of {', '.join(different)} in both builds"
        )
    if one.digest != other.digest:
        raise ReleaseError(f"built twice, the layers are the same, but {one.digest} is not {other.digest}")
    return len(one.layer_digests)


def describe(project: Project, folder: Path) -> list[Path]:
    """Write the list of contents of each platform's image, and return the files."""
    locked = (ROOT / "requirements-image.txt").read_text()
    written = []
    for image in layout.images(folder):
        path = FOLDER / f"tls-sync-{project.version}-{image.platform.replace('/', '-')}.cdx.json"
        path.write_text(json.dumps(sbom(image, project, locked), indent=2) + "\n")
        written.append(path)
    return written


def publish(project: Project, registry: str) -> str:
    """Push the image that was built, sign it and its lists of contents, and return its digest.

    The signatures are keyless: they name the workflow that made them, by the token of its job.
    """
    digest = layout.digest(LAYOUT)
    name = f"{registry}/tls-sync"
    run_tool(
        "skopeo", "copy", "--all", "--preserve-digests", f"oci:{LAYOUT}", f"docker://{name}:{project.version}"
    )
    run_tool("cosign", "sign", "--yes", "--recursive", f"{name}@{digest}")
    for image, path in zip(layout.images(LAYOUT), describe(project, LAYOUT), strict=True):
        attest = ["attest", "--yes", "--type", "cyclonedx", "--predicate", str(path)]
        run_tool("cosign", *attest, f"{name}@{image.digest}")
    tell_workflow(name=name, digest=digest)
    return digest


def tell_workflow(**values: str) -> None:
    """Give values to the later steps of a workflow, whose file GITHUB_OUTPUT names."""
    if output := os.environ.get("GITHUB_OUTPUT"):
        with Path(output).open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
