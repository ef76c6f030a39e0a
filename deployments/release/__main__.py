"""`python -m deployments.release`: what `make release-…` does. `dry-run` and `check` need no registry."""

import argparse
import os
import sys

from deployments.release import chart, checksums, image, layout
from deployments.release.project import FOLDER, Project, ReleaseError, check
from deployments.release.tools import registry
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.node import base_image
from deployments.sandbox.progress import say

_COMMANDS = {
    "check": "the tag, the version, the changelog and the checkout agree",
    "dry-run": "all that can be done without a registry, on a base of this machine's Debian",
    "image": "build the image for all platforms, push and sign it and its lists of contents",
    "chart": "pack the chart, push and sign it",
    "page": "sign the checksums of all files, and make the page of the release",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deployments.release", description=__doc__)
    parser.add_argument("command", choices=_COMMANDS, metavar="|".join(_COMMANDS))
    command = parser.parse_args().command
    try:
        project = Project.read()
        _run(command, project)
    except (ReleaseError, SandboxError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


def _run(command: str, project: Project) -> None:
    if command == "dry-run":
        dry_run(project)
        return
    check(project)
    if command == "image":
        image.build(project, image.LAYOUT, [f"--platform={','.join(image.PLATFORMS)}"], say)
        say(f"pushed {image.publish(project, registry())}")
    elif command == "chart":
        chart.publish(project, registry(), os.environ.get("TLS_SYNC_IMAGE_DIGEST", ""), say)
    elif command == "page":
        checksums.publish(project)


def dry_run(project: Project) -> None:
    """Build image and chart twice, compare them, and write lists of contents and checksums."""
    base = base_image.archive(say)
    second = FOLDER / "image-again"
    for folder in (image.LAYOUT, second):
        image.build(project, folder, [], say, base)
    for one, other in zip(layout.images(image.LAYOUT), layout.images(second), strict=True):
        same = image.compare(one, other)
        say(f"{one.platform}: built twice, all {same} layers are the same; image {one.digest}")
    packed = chart.pack(project, say)
    first = packed.read_bytes()
    if chart.pack(project, say).read_bytes() != first:
        raise ReleaseError("packed twice, the chart differs")
    say(f"{packed.name}: packed twice, the same")
    for path in image.describe(project, image.LAYOUT):
        say(f"{path.name}: the contents of the image")
    sums = checksums.write(FOLDER)
    say(f"{sums}:\n{sums.read_text().rstrip()}")


if __name__ == "__main__":
    sys.exit(main())
