"""A copy of this checkout that builds and tests one other version of a program."""

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import gobuild
from deployments.sandbox.programs.binaries import ASSETS_VARIABLE
from tests.compat.versions import Program, go_mod

_NOT_COPIED = (".venv", ".git", ".*_cache", "__pycache__")
_BUILD = """
import sys
from deployments.sandbox.programs.binaries import locate
print(*locate(*sys.argv[1:]).values())
"""


class Checkout:
    """The copy, in a folder that does not exist yet."""

    def __init__(self, folder: Path, program: Program, version: str) -> None:
        self._folder, self._program, self._version = folder, program, version
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        # Without envtest's variable: its servers are of one version. With CI, what is missing fails.
        self._environment = {**os.environ, "CI": "1"}
        self._environment.pop(ASSETS_VARIABLE, None)

    def build(self) -> str:
        """Pin the version, build what is not in the cache, and return the version that was built.

        Raises SandboxError where its module can't be had or does not fit to our sources.
        """
        if self._version != self._program.source.module_version:
            self._pin()
        built = self._run([sys.executable, "-c", _BUILD, *self._program.built]).split()
        if "kube-apiserver" not in self._program.built:
            return self._version
        # An envtest archive has the last patch of the minor version, whichever go.mod requires.
        return self._run([built[0], "--version"]).split()[-1]

    def _pin(self) -> None:
        source = self._program.source
        go = [*gobuild.go_command(self._program.built[0]), "mod"]
        folder = self._folder / source.directory.relative_to(ROOT)
        ours = self._json([*go, "edit", "-json"], folder)
        theirs = self._json([*go, "download", "-json", f"{source.module}@{self._version}"], folder)["GoMod"]
        text = go_mod(ours, self._json([*go, "edit", "-json", theirs], folder), self._version)
        (folder / "go.mod").write_text(text)
        self._run([*go, "tidy"], folder)

    def test(self, results: Path) -> int:
        """Run the program's tests, whose output is shown; return how many passed, 0 where one failed."""
        options = ["-m", "e2e or apiserver", "--numprocesses=2", "--dist=loadfile", f"--junitxml={results}"]
        command = [sys.executable, "-m", "pytest", *options, *self._program.tests]
        done = subprocess.run(command, cwd=self._folder, env=self._environment, check=False)
        return 0 if done.returncode else passed(results.read_text())

    def _json(self, command: Sequence[str], folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._run(command, folder))
        return found

    def _run(self, command: Sequence[str], folder: Path | None = None) -> str:
        """Return what is printed; progress, on stderr, is shown."""
        done = subprocess.run(
            command,
            cwd=folder or self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            title = f"{self._program.title} {self._version}"
            raise SandboxError(f"{title} can't be had: `{' '.join(command[:6])} …` failed, see above")
        return done.stdout


def passed(junit: str) -> int:
    """Return how many tests passed. What was skipped did not."""
    suites = ET.fromstring(junit)
    numbers = [
        {key: int(suite.get(key, 0)) for key in ("tests", "skipped")} for suite in suites.iter("testsuite")
    ]
    return sum(one["tests"] - one["skipped"] for one in numbers)
