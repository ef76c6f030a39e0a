"""How `make compat` pins a version, and what it counts."""

import pytest

from deployments.sandbox.errors import SandboxError
from tests.compat.__main__ import chosen
from tests.compat.checkout import passed
from tests.compat.versions import PROGRAMS, go_mod

KUBERNETES = {
    "Module": {"Path": "k8s.io/kubernetes"},
    "Replace": [{"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}}],
}
OURS = {
    "Module": {"Path": "tls-sync/sandbox/kubernetes"},
    "Go": "1.26.0",
    "Require": [
        {"Path": "k8s.io/kubernetes", "Version": "v1.36.3"},
        {"Path": "example.org/other", "Version": "v2.0.0"},
        {"Path": "k8s.io/new-part", "Version": "v0.36.3", "Indirect": True},
    ],
}


def test_the_parts_of_kubernetes_follow_its_version() -> None:
    """The other version has the parts that it was released with, and none of what was indirect before."""
    assert go_mod(OURS, KUBERNETES, "v1.34.4").splitlines() == [
        "module tls-sync/sandbox/kubernetes",
        "go 1.26.0",
        "require k8s.io/kubernetes v1.34.4",
        "require example.org/other v2.0.0",
        "replace k8s.io/api => k8s.io/api v0.34.4",
    ]


def test_a_module_without_parts() -> None:
    """cert-manager replaces nothing."""
    its = {"Module": {"Path": "k8s.io/kubernetes"}, "Replace": None}
    assert "replace" not in go_mod(OURS, its, "v1.34.4")


def test_a_skipped_test_has_not_passed() -> None:
    """Of pytest's own file only what ran is counted."""
    junit = '<testsuites><testsuite tests="5" skipped="2" failures="0" errors="0"/></testsuites>'
    assert passed(junit) == 3


def test_a_program_or_one_version_of_it() -> None:
    """`cert-manager=v1.21.2` is that version alone, even one that is not in the list."""
    assert chosen(["cert-manager=v1.99.0"]) == [(PROGRAMS["cert-manager"], "v1.99.0")]
    assert [version for _, version in chosen(["kubernetes"])] == list(PROGRAMS["kubernetes"].versions)


def test_another_program_is_refused() -> None:
    """The sentence names those that there are."""
    with pytest.raises(SandboxError, match=r"argo isn't one of cert-manager, kubernetes"):
        chosen(["argo"])
