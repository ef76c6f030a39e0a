"""Builds the programs of the control plane and of a node from source, pinned by go/*/go.mod and go.sum."""

import hashlib
import re
import shutil
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
        """The module's version; for our own program, a digest of its source."""
        if not self.module:
            parts = [file.read_bytes() for file in sorted(self.directory.iterdir())]
            return f"{self.folder}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
        text = (self.directory / "go.mod").read_text()
        found = re.search(rf"^require {re.escape(self.module)} (v\S+)$", text, re.MULTILINE)
        if not found:
            raise SandboxError(f"{self.directory}/go.mod doesn't require {self.module}")
        return found[1]


def _kubernetes(program: str, minutes: float) -> Source:
    return Source("kubernetes", "k8s.io/kubernetes", f"k8s.io/kubernetes/cmd/{program}", minutes)


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
}


def build(name: str, program: Path, say: Say) -> None:
    """Build one program with Go at a path, complete or not at all. Raises SandboxError."""
    go = shutil.which("go")
    if go is None:
        raise SandboxError(
            f"There is no {name} here, and no Go to build it with. Install Go 1.26 or newer "
            f"(https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that has {name}."
        )
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
    command = ["/usr/bin/env", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", go, "build", *_flags(source)]
    run(f"building {name}", [*command, "-o", partial, source.package], log, say)
    publish(partial, program)


def _flags(source: Source) -> list[str]:
    flags = "-s -w"
    if source.folder == "kubernetes":
        # Without these the server's version is v0.0.0-master, which clients refuse.
        major, minor, _ = source.version.removeprefix("v").split(".")
        stamp = {"gitVersion": source.version, "gitMajor": major, "gitMinor": minor}
        for key, value in stamp.items():
            flags += f" -X k8s.io/component-base/version.{key}={value}"
    return [f"-C={source.directory}", "-trimpath", "-ldflags", flags]
