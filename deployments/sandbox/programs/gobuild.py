"""Builds the programs of the sandbox from source, pinned by go/*/go.mod and go.sum."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.envtest import publish
from deployments.sandbox.progress import Say
from deployments.sandbox.work import run


@dataclass(frozen=True)
class Source:
    """Source of a program. Each folder is a Go module, since their requirements conflict."""

    folder: str
    module: str
    package: str
    minutes: float  # on two cores, after the programs above it

    @property
    def directory(self) -> Path:
        return Path(__file__).parent / "go" / self.folder

    @property
    def version(self) -> str:
        """The module's version; for a program of ours, the name of its folder and a digest of its source."""
        if not self.package.startswith("."):
            return self.module_version
        parts = [file.read_bytes() for file in sorted(self.directory.rglob("*")) if file.is_file()]
        return f"{self.folder}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"

    @property
    def module_version(self) -> str:
        text = (self.directory / "go.mod").read_text()
        found = re.search(rf"^(?:require |\t){re.escape(self.module)} (v\S+)$", text, re.MULTILINE)
        if not found:
            raise SandboxError(f"{self.directory}/go.mod doesn't require {self.module}")
        return found[1]


_ENVIRONMENT = ("/usr/bin/env", "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")


def _kubernetes(program: str, minutes: float) -> Source:
    return Source("kubernetes", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{program}", minutes)


_CERT_MANAGER = "github.com/cert-manager/cert-manager"
_ARGO_CD = "github.com/argoproj/argo-cd/v3"
_PEBBLE = "github.com/letsencrypt/pebble/v2/cmd/pebble"

SOURCES = {
    "kube-apiserver": _kubernetes("kube-apiserver", 7),
    "kubectl": _kubernetes("kubectl", 1),
    "etcd": Source("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", 1),
    "kube-controller-manager": _kubernetes("kube-controller-manager", 1.6),
    "kubelet": _kubernetes("kubelet", 0.7),
    "kube-scheduler": _kubernetes("kube-scheduler", 0.2),
    "kube-proxy": _kubernetes("kube-proxy", 0.3),
    "coredns": Source("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns", 3.2),
    "helm": Source("helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm", 2.4),
    "pause": Source("pause", "", ".", 0.1),
    "cert-manager": Source("cert-manager", _CERT_MANAGER, "./controllers", 3),
    "dns01": Source("cert-manager", _CERT_MANAGER, "./dns01", 0.1),
    "argocd": Source("argo-cd", _ARGO_CD, f"{_ARGO_CD}/cmd", 10),
    "pebble": Source("pebble", "github.com/letsencrypt/pebble/v2", _PEBBLE, 0.3),
}


def build(name: str, program: Path, say: Say) -> None:
    """Build one program with Go at a path, complete or not at all. Raises SandboxError."""
    go = go_command(name)
    source = SOURCES[name]
    say(
        f"{name} {source.version} is compiled from source: about {source.minutes:g} min on two cores, once; "
        f"then it is in {program.parent}"
    )
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_name(f"{name}.partial")
    partial.unlink(missing_ok=True)  # go build overwrites programs only
    log = program.with_name(f"{name}.log")
    log.unlink(missing_ok=True)
    command = [*go, "build", *_flags(source)]
    run(f"building {name}", [*command, "-o", partial, source.package], log, say)
    publish(partial, program)


def module_folder(name: str) -> Path:
    """Return the folder of a program's module, whose files are read-only. Raises SandboxError."""
    source = SOURCES[name]
    command = [*go_command(name), "mod", "download", f"-C={source.directory}", "-json", source.module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our command)
    if done.returncode:
        raise SandboxError(
            f"the source of {name}, {source.module} {source.module_version}, can't be had:\n"
            f"{done.stdout}{done.stderr}"
        )
    return Path(json.loads(done.stdout)["Dir"])


def go_command(name: str) -> list[str]:
    """Return how `go` is called for a program, whatever the caller's settings. Raises SandboxError."""
    go = shutil.which("go")
    if go is None:
        raise SandboxError(
            f"There is no {name} here, and no Go to build it with. Install Go 1.26 or newer "
            f"(https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that has {name}."
        )
    return [*_ENVIRONMENT, go]


def _flags(source: Source) -> list[str]:
    flags = "-s -w"
    if source.folder == "kubernetes":
        # Without these the server's version is v0.0.0-master, which clients refuse.
        major, minor, _ = source.version.removeprefix("v").split(".")
        stamp = {"gitVersion": source.version, "gitMajor": major, "gitMinor": minor}
        for key, value in stamp.items():
            flags += f" -X k8s.io/component-base/version.{key}={value}"
    return [f"-C={source.directory}", "-trimpath", "-ldflags", flags]
