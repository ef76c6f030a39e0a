"""What is released: the version, the commit, and where its files are put."""

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dist"
"""Files of the release; git ignores it."""


class ReleaseError(Exception):
    """What is wrong and what to do about it, in a sentence."""


@dataclass(frozen=True)
class Project:
    version: str
    commit: str
    """Of git, 40 hexadecimal digits."""
    time: int
    """Of the commit, in seconds since 1970. Whatever is built has this time, so that two builds are equal."""

    @classmethod
    def read(cls) -> "Project":
        """Return the version of pyproject.toml and the commit that is checked out."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        commit, time = _git("log", "-1", "--format=%H %ct").split()
        return cls(version=project["version"], commit=commit, time=int(time))

    @property
    def labels(self) -> dict[str, str]:
        """What the image says of itself."""
        names = {
            "version": self.version,
            "revision": self.commit,
            "licenses": "Apache-2.0",
            "title": "tls-sync",
        }
        return {f"org.opencontainers.image.{name}": value for name, value in names.items()}


def check(project: Project) -> None:
    """Raise ReleaseError where the checkout is not what the tag of the version should be."""
    tag = os.environ.get("GITHUB_REF_NAME", f"v{project.version}")
    if tag != f"v{project.version}":
        raise ReleaseError(f"the tag is {tag}, but pyproject.toml has {project.version}: correct one of them")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(rf"^## \[{re.escape(project.version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no section [{project.version}] with a date: add it")
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        raise ReleaseError(f"the checkout has changes, which no commit has: {changed.split()[-1]}")


def notes(version: str) -> str:
    """Return the section of CHANGELOG.md about a version."""
    _, _, rest = (ROOT / "CHANGELOG.md").read_text().partition(f"\n## [{version}] - ")
    return rest.partition("\n")[2].partition("\n## [")[0].strip() + "\n"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ReleaseError(
            f"git {arguments[0]} failed; a release is made of a git checkout: {done.stderr.strip()}"
        )
    return done.stdout.strip()
