"""The floor as a process that watches OPS and copies what changes, with the watcher's own credentials."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name
from tasks.domain.annotations import FIELD_MANAGER, MANAGED_BY, OWNER
from tests.benchmarks import replay
from tests.benchmarks.world import NAMESPACES, RSA_EVERY, TARGETS, World

PREFIX = "floor-"
"""Of the names of the certificates that the floor copies, and that no route names."""
NAMESPACE = NAMESPACES[0]
"""Where its copies are."""
LABELS = {MANAGED_BY: FIELD_MANAGER, OWNER: SOURCE_CLUSTER}
"""The targets' admission policy demands them."""


@contextmanager
def certificates(world: World, number: int) -> Iterator[None]:
    """Certificates on OPS, with the same kinds of keys as the routed ones; removed with their copies."""
    names, issuer = [f"{PREFIX}{index:03}" for index in range(number)], Issuer()
    for index, name in enumerate(names):
        secret = issuer.secret(name, [f"{name}.example.org"], key="ec" if index % RSA_EVERY else "rsa")
        world.ops.create(secret)
    try:
        yield
    finally:
        for name in names:
            world.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{name}")
        for target in TARGETS:
            copies = f"/api/v1/namespaces/{NAMESPACE}/secrets"
            admin = world.sandbox.cluster(target).admin
            present = {one["metadata"]["name"] for one in admin.list(copies)}
            for name in present.intersection(names):
                admin.delete(f"{copies}/{name}")


@contextmanager
def floor_watch(world: World, kubeconfig: Mapping[str, Any]) -> Iterator[None]:
    """It has copied everything once when this begins, and stops when its input ends."""
    program, log = replay.build(world.directory), world.directory / "floor-watch.log"
    job = write_private(work(kubeconfig), world.directory / "floor-watch.json")
    command, pipe = [str(program), f"-ca={world.ca}", f"-watch={job}"], subprocess.PIPE
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)
    with process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SandboxError(f"the floor does not watch: {log.read_text().strip()}")
        yield
        if process.poll() is not None:
            raise SandboxError(f"the floor failed: {log.read_text().strip()}")


def through(kubeconfig: Mapping[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    """The kubeconfig with these addresses of the clusters, which are named as the sandbox names them."""
    servers = {context_name(name): address for name, address in addresses.items()}
    clusters = [
        {**one, "cluster": {**one["cluster"], "server": servers[one["name"]]}}
        for one in kubeconfig["clusters"]
    ]
    return {**kubeconfig, "clusters": clusters}


def work(kubeconfig: Mapping[str, Any]) -> dict[str, Any]:
    """What floor/watch.go is to do."""
    servers = {one["name"]: one["cluster"]["server"] for one in kubeconfig["clusters"]}
    tokens = {one["name"]: one["user"]["token"] for one in kubeconfig["users"]}

    def cluster(name: str, namespace: str) -> dict[str, str]:
        context = context_name(name)
        return {"url": servers[context], "token": tokens[context], "namespace": namespace}

    return {
        "source": cluster(SOURCE_CLUSTER, SOURCE_NAMESPACE),
        "targets": [cluster(name, NAMESPACE) for name in TARGETS],
        "prefix": PREFIX,
        "labels": LABELS,
    }


def read_kubeconfig(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def write_private(content: Mapping[str, Any], path: Path) -> Path:
    """Only we may read it, as it holds tokens."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    return path
