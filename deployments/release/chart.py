"""The chart of a release: packed so that two packages are equal; it names the image by its digest."""

import gzip
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deployments.release.image import tell_workflow
from deployments.release.project import FOLDER, ROOT, Project, ReleaseError
from deployments.release.tools import run_tool
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say

CHART = ROOT / "deployments" / "helm" / "tls-sync"


def pack(project: Project, say: Say, repository: str = "", digest: str = "") -> Path:
    """Return the chart's package. With a repository, its values name the image there.

    Helm checks the chart and leaves out what it does not need; its own package has the time of the packing.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    helm = locate("helm", say=say)["helm"]
    with tempfile.TemporaryDirectory() as temporary:
        chart = Path(temporary) / CHART.name
        shutil.copytree(CHART, chart)
        if repository:
            values = chart / "values.yaml"
            values.write_text(with_image(values.read_text(), repository, digest))
        run_tool(helm, "package", chart, "--destination", temporary)
        (packed,) = Path(temporary).glob("*.tgz")
        path = FOLDER / packed.name
        path.write_bytes(repacked(packed.read_bytes(), project.time))
    return path


def with_image(values: str, repository: str, digest: str) -> str:
    """Return the chart's values with another image by default. Raises ReleaseError where it finds none."""
    for key, value in (("repository", repository), ("digest", digest)):
        values, found = re.subn(
            rf"(?m)^(image:\n(?:  .*\n)*?  {key}: )\S+", rf"\g<1>{value}", values, count=1
        )
        if not found:
            raise ReleaseError(f"values.yaml of the chart has no image.{key} where it is looked for")
    return values


def repacked(package: bytes, time: int) -> bytes:
    """Return a package with the same files in their order, with one time, owner and mode."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(package)) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=time, filename="") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in sorted(old, key=lambda one: one.name):
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mtime = member.size, time
            new.addfile(entry, old.extractfile(member))
    return packed.getvalue()


def publish(project: Project, registry: str, image_digest: str, say: Say) -> None:
    """Push the chart, and sign it."""
    path = pack(project, say, f"{registry}/tls-sync", image_digest)
    helm = locate("helm", say=say)["helm"]
    name = f"{registry}/charts"
    pushed = run_tool(helm, "push", path, f"oci://{name}", stderr=subprocess.STDOUT)
    digest = re.search(r"Digest: (sha256:[0-9a-f]{64})", pushed)
    if not digest:
        raise ReleaseError(f"helm push printed no digest: {pushed}")
    run_tool("cosign", "sign", "--yes", f"{name}/tls-sync@{digest[1]}")
    tell_workflow(name=f"{name}/tls-sync", digest=digest[1])
