"""Which versions are tried, and with which tests. The version of all other tests is in go/*/go.mod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.sandbox.programs import gobuild


@dataclass(frozen=True)
class Program:
    """A program that somebody else upgrades."""

    title: str
    built: tuple[str, ...]
    """Keys of gobuild.SOURCES, all of one Go module."""
    versions: tuple[str, ...]
    """The last patch of each minor version whose module could be had, the oldest first.

    cert-manager 1.18 is none: its controllers need a part that our program of them does not give.
    """
    tests: tuple[str, ...]

    @property
    def source(self) -> gobuild.Source:
        return gobuild.SOURCES[self.built[0]]


PROGRAMS = {
    "cert-manager": Program(
        "cert-manager on OPS",
        ("cert-manager", "dns01"),
        ("v1.19.4", "v1.20.3", "v1.21.2"),
        tuple(f"tests/e2e/cert_manager/test_{name}.py" for name in ("life", "failures", "contract")),
    ),
    "kubernetes": Program(
        "Kubernetes, OPS and targets",
        ("kube-apiserver",),
        ("v1.34.4", "v1.35.4", "v1.36.3"),
        tuple(
            f"tests/apiserver/test_{name}.py"
            for name in (
                "admission_policy",
                "contract",
                "decision_table",
                "flow",
                "preflight",
                "prune",
                "watch",
            )
        ),
    ),
}


def go_mod(ours: Mapping[str, Any], its: Mapping[str, Any], version: str) -> str:
    """Return a go.mod with what ours requires itself, and another version of a program's module.

    `ours` is our go.mod and `its` that of the module in this version, as `go mod edit -json` prints them.
    What is indirect is left to `go mod tidy`: a part of Kubernetes 1.36 is none of 1.34. Kubernetes has its
    parts in its own tree; v1.36.3 of it was released with v0.36.3 of each.
    """
    module = its["Module"]["Path"]
    required = {one["Path"]: one["Version"] for one in ours["Require"] if not one.get("Indirect")}
    parts = [one["Old"]["Path"] for one in its["Replace"] or () if one["New"]["Path"].startswith("./")]
    lines = [
        f"module {ours['Module']['Path']}",
        f"go {ours['Go']}",
        *(f"require {path} {found}" for path, found in (required | {module: version}).items()),
        *(f"replace {part} => {part} {version.replace('v1.', 'v0.', 1)}" for part in parts),
    ]
    return "\n".join(lines) + "\n"
