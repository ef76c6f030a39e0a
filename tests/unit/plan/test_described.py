"""What reports say of certificates that a run did not read."""

from datetime import timedelta

from tasks.domain.models import Action, ListedSecret, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.plan.described import described
from tasks.plan.spec import KnownEntry, RunMemory
from tests.support.factories import (
    NOW,
    SOURCE_NAMESPACE,
    certificate,
    change,
    cluster_report,
    rejection,
    snapshot,
    version,
)

VALIDITY = (NOW - timedelta(days=1), NOW + timedelta(days=89))


def listed(name: str, *, known: bool = True) -> ListedSecret:
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name=name)
    validity = VALIDITY if known else None
    return ListedSecret(ref=ref, uid=name, resource_version="7", validity=validity, renewal=NOW)


def in_sync(name: str) -> SourceSnapshot:
    row = change(Action.KEEP, Reason.IN_SYNC, certificate=name, old=version(), new=version())
    return described(snapshot(listed(name)), RunMemory(), [cluster_report("dev", row)])


def test_a_copy_in_sync_tells_the_version_of_its_certificate() -> None:
    """It was checked when it was copied, so it counts as fit."""
    found = in_sync("a-tls")
    (one,) = found.certificates
    assert (one.version, one.checked, one.renewal) == (version(), True, NOW)
    assert (found.fit, found.unchecked, found.listed) == (1, 0, ())


def test_what_nobody_read_is_told_by_cert_manager_and_marked() -> None:
    """With the validity of its Certificate it is a certificate that was not checked; without, only a name."""
    found = described(snapshot(listed("a-tls"), listed("b-tls", known=False)), RunMemory(), [])
    (one,) = found.certificates
    assert (one.ref.name, one.checked) == ("a-tls", False)
    assert (one.version.not_before, one.version.not_after) == VALIDITY
    assert [one.ref.name for one in found.listed] == ["b-tls"]
    assert (found.fit, found.unchecked, found.size) == (0, 2, 2)


def test_what_a_task_read_is_told_as_it_was_found() -> None:
    """In this process from the memory of the run, from a worker with its report; a deleted Secret is gone."""
    memory = RunMemory()
    memory.entries["a-tls"] = KnownEntry(listed("a-tls"), rejection("a-tls"), 0)
    memory.entries["b-tls"] = KnownEntry(listed("b-tls"), None, 0)
    memory.entries["old-tls"] = KnownEntry(listed("old-tls", known=False), certificate("old-tls"), 0)
    elsewhere = cluster_report("dev", source=snapshot(certificate("c-tls")))
    before = snapshot(*(listed(name) for name in ("a-tls", "b-tls", "c-tls", "old-tls")))
    found = described(before, memory, [elsewhere])
    assert [one.ref.name for one in found.rejections] == ["a-tls"]
    assert [(one.ref.name, one.checked) for one in found.certificates] == [
        ("c-tls", True),
        ("old-tls", False),
    ]
    assert found.listed == ()


def test_a_snapshot_that_was_read_stays_as_it_is() -> None:
    """A run that verifies has nothing to add."""
    whole = snapshot(certificate(), rejection("b-tls"))
    assert described(whole, RunMemory(), []) is whole
