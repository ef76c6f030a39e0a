"""What is remembered of a target, for how long, and what makes it forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.config.schema import Source, SyncConfig
from tasks.domain.annotations import SOURCE
from tasks.domain.models import SecretRef, TargetSecret
from tasks.kube.permissions import Permissions
from tasks.plan.observed import ObservedState
from tasks.target.remembered import Look, RememberedCluster, RememberedTargets
from tests.support.factories import cluster, target_secret

RIGHTS = Permissions(verbs=frozenset({"get"}))


def copy(name: str, version: str = "1", source: str = "") -> TargetSecret:
    found = target_secret(name=name, resource_version=version)
    return replace(found, annotations=found.annotations | {SOURCE: f"certs/{source or name}"})


def look(*secrets: TargetSecret, namespaces: tuple[str, ...] = ("homarr-dev",)) -> Look:
    observed = ObservedState()
    for namespace in namespaces:
        observed.add(namespace, [one for one in secrets if one.ref.namespace == namespace])
    return Look(observed, ("a warning",), {"homarr-dev": RIGHTS})


def versions(memory: RememberedCluster, *refs: SecretRef, certificate: str = "a") -> dict[str, str]:
    found = memory.observed(refs, certificate).secrets.values()
    return {one.ref.name: one.resource_version for one in found}


def test_a_look_replaces_what_was_known_of_its_namespaces() -> None:
    """A copy that is gone is forgotten, and other namespaces stay as they are."""
    memory, a, b = RememberedCluster(), copy("a"), copy("b")
    elsewhere = replace(a, ref=SecretRef(namespace="other", name="a"))
    memory.keep(look(a, b, elsewhere, namespaces=("homarr-dev", "other")), 1.0)
    memory.keep(look(copy("b", "2")), 2.0)
    assert versions(memory, a.ref, b.ref) == {"b": "2", "a": "1"}
    assert not memory.holds(a.ref)
    assert memory.holds(elsewhere.ref)
    assert memory.observed((), "a").namespaces == {"homarr-dev", "other"}


def test_all_copies_of_a_certificate_are_found() -> None:
    """Also one under another name, which no route asks for any more; a copy that changes its source moves."""
    memory, old = RememberedCluster(), copy("old-name", source="a")
    memory.keep(look(old, copy("b")), 1.0)
    assert versions(memory) == {"old-name": "1"}
    moved = copy("old-name", "2", source="b")
    memory.record([old.ref], ObservedState(secrets={old.ref: moved}), 2.0)
    assert versions(memory) == {}
    assert versions(memory, certificate="b") == {"old-name": "2", "b": "1"}


def test_a_write_counts_more_than_a_look_that_began_before_it() -> None:
    """The look may have listed the copy before the write; one that begins later has seen it."""
    memory, a = RememberedCluster(), copy("a")
    memory.keep(look(a), 1.0)
    memory.record([a.ref], ObservedState(secrets={a.ref: copy("a", "3")}), 5.0)
    memory.keep(look(copy("a", "2")), 4.0)
    assert versions(memory, a.ref) == {"a": "3"}
    memory.keep(look(copy("a", "4")), 6.0)
    assert versions(memory, a.ref) == {"a": "4"}


def test_what_was_written_without_a_usable_answer_is_not_known() -> None:
    """Then the next plan is to create it, which the server refuses, and that makes a look follow."""
    memory, a = RememberedCluster(), copy("a")
    memory.keep(look(a), 1.0)
    memory.record([a.ref], ObservedState(), 2.0)
    assert not memory.holds(a.ref)


def test_identity_and_rights_have_an_age() -> None:
    """Each is known since the moment of its request; the rights by namespace."""
    memory = RememberedCluster()
    assert not memory.is_identified_since(0.0)
    memory.confirm(10.0, None, {"homarr-dev": RIGHTS}, ())
    assert not memory.is_identified_since(0.0)
    memory.confirm(20.0, ("pin it",), {"other": RIGHTS}, ())
    assert memory.is_identified_since(19.0)
    assert not memory.is_identified_since(20.0)
    assert memory.warnings == ("pin it",)
    assert memory.rights_since(["homarr-dev", "other", "third"], 15.0) == {"other": RIGHTS}
    assert memory.rights_since(["homarr-dev", "other"], 5.0) == {"homarr-dev": RIGHTS, "other": RIGHTS}


def test_an_identity_is_that_of_a_credential() -> None:
    """Another credential may lead to another cluster; rights alone say nothing of where they are."""
    memory = RememberedCluster()
    memory.confirm(10.0, (), {}, ("uid", "7"))
    assert memory.is_identified_by(("uid", "7"))
    assert not memory.is_identified_by(("uid", "8"))
    memory.confirm(20.0, None, {"homarr-dev": RIGHTS}, ("uid", "8"))
    assert memory.is_identified_by(("uid", "7"))
    memory.forget()
    assert not memory.is_identified_by(("uid", "7"))


def test_a_copy_counts_as_seen_since_its_look_or_write() -> None:
    """Of a copy that was never seen nothing is known."""
    memory, a = RememberedCluster(), copy("a")
    memory.keep(look(a), 1.0)
    assert memory.is_seen_since(a.ref, 0.5)
    assert not memory.is_seen_since(a.ref, 1.0)
    memory.forget()
    assert not memory.is_seen_since(a.ref, 0.5)
    assert memory.observed([a.ref], "a") == ObservedState(is_kept=True)


def test_another_configuration_or_kubeconfig_forgets_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as both files are the same, a cluster has one memory; without a kubeconfig it has none."""
    path = tmp_path / "config"
    path.write_text("one")
    monkeypatch.setenv("KUBECONFIG", str(path))
    config = SyncConfig(owner="ops", source=Source(namespace="certs"), clusters=(cluster(),))
    targets, dev = RememberedTargets(), cluster()
    first = targets.of(config, dev)
    assert targets.of(config, dev) is first
    again = targets.of(config.model_copy(), dev)
    assert again is not first
    path.write_text("two, longer")
    assert targets.of(config, dev) is not again
    path.unlink()
    assert targets.of(config, dev) is not targets.of(config, dev)
