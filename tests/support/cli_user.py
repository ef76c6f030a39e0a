"""Somebody who runs clusters: has all rights, a kubeconfig, a kubectl, and types our commands."""

import base64
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deployments.sandbox.world.kubeconfig import context_name, write_admin_kubeconfig
from tasks.setup.document import Entry, entries_of
from tests.support.clusters import Manifest, World

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    status: int
    output: str
    errors: str


class Operator:
    """Their kubectl notes what it is called with."""

    def __init__(self, world: World, directory: Path, kubectl: Path) -> None:
        self.world, self.kubeconfig = world, directory / "admin.kubeconfig"
        self.calls = directory / "calls"
        write_admin_kubeconfig(world.sandbox, self.kubeconfig)
        (directory / "bin").mkdir()
        wrapper = directory / "bin" / "kubectl"
        noted = f'printf "%s\\n" "$@" >>{self.calls}; env >>{self.calls}'
        wrapper.write_text(f'#!/bin/sh\n{noted}\nexec {shlex.quote(str(kubectl))} "$@"\n')
        wrapper.chmod(0o700)
        self.environment = {
            **os.environ,
            "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
            "HOME": str(directory),  # kubectl keeps what it discovers there
            "KUBECONFIG": str(self.kubeconfig),
        }

    def target(self, *arguments: str) -> Done:
        return self.run(sys.executable, "-m", "flows.cli", "rights", *arguments)

    def apply(self, cluster: str, manifests: str, *options: str) -> Done:
        command = ("kubectl", f"--context={context_name(cluster)}", "apply", "--server-side", "-f", "-")
        return self.run(*command, *options, stdin=manifests)

    def run(self, *command: str, stdin: str = "") -> Done:
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def collect(self, *arguments: str) -> Done:
        return self.target("kubeconfig", "--ops-context", context_name("ops"), *arguments)

    def edit(self, cluster: str, /, **changes: Any) -> None:
        """The address, or CA, that the operator has of a cluster."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        (entry,) = (one for one in document["clusters"] if one["name"] == context_name(cluster))
        entry["cluster"].update(changes)
        self.kubeconfig.write_text(yaml.safe_dump(document))

    def secret(self) -> Manifest:
        found = self.world.ops.secret("tls-sync", "tls-sync-kubeconfig")
        assert found is not None
        return found

    def entries(self) -> dict[str, Entry]:
        content = base64.b64decode(self.secret()["data"]["config"])
        return entries_of(yaml.safe_load(content))
