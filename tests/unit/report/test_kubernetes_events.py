"""Kubernetes Events on cert-manager's Certificates: which a run has, and what they say."""

from dataclasses import replace

import pytest

from tasks.domain.models import Action, CertificateResource, Change, ClusterReport, RunReport
from tasks.domain.names import is_name
from tasks.domain.reasons import Reason
from tasks.report.kubernetes_events import MAX_MESSAGE, KubernetesEvent, kubernetes_events_of
from tests.support.factories import (
    NAME,
    NOW,
    certificate,
    change,
    cluster_report,
    rejection,
    run_report,
    snapshot,
    version,
)

UID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"
NEW = version()
WRITTEN = change(
    Action.UPDATE, Reason.CERTIFICATE_RENEWED, new=NEW, applied=True, uid="u", resource_version="8"
)
REFUSED = change(Action.REFUSE, Reason.OWNED_BY_OTHER, namespace="other", new=NEW)


def with_resource(name: str = NAME, resource: str = "homarr-dev") -> RunReport:
    """A run on an OPS with one certificate, which this Certificate writes."""
    about = CertificateResource(name=resource, uid=UID)
    return run_report(snapshot=snapshot(certificate(name, resource=about)))


def events(*clusters: ClusterReport, about: RunReport | None = None) -> list[KubernetesEvent]:
    report = about or with_resource()
    return kubernetes_events_of(report.model_copy(update={"clusters": clusters}))


WANTED: dict[str, tuple[tuple[Change, ...], list[tuple[str, bool]]]] = {
    "a copy in sync": ((change(old=NEW),), []),
    "a copy that was written": ((WRITTEN,), [("Copied", False)]),
    "a copy that was created": (
        (replace(WRITTEN, action=Action.CREATE, reason=Reason.MISSING_ON_TARGET),),
        [("Copied", False)],
    ),
    "a write that did not take place": ((replace(WRITTEN, applied=False),), []),
    "a refusal, which lasts": ((REFUSED,), []),
    "a copy that was written beside one that is refused": ((WRITTEN, REFUSED), [("CopiedInPart", True)]),
    "a deletion": ((change(Action.DELETE, Reason.PRUNED, old=NEW, applied=True),), []),
}


@pytest.mark.parametrize(("rows", "wanted"), WANTED.values(), ids=WANTED)
def test_an_event_is_about_a_change(rows: tuple[Change, ...], wanted: list[tuple[str, bool]]) -> None:
    """What lasts has no Event, however often a run finds it."""
    assert [(one.reason, one.is_warning) for one in events(cluster_report("dev", *rows))] == wanted


def test_a_dry_run_has_none() -> None:
    """Nor has a run on an OPS whose Certificates nobody asked for."""
    written = cluster_report("dev", WRITTEN)
    dry = with_resource().model_copy(update={"parameters": run_report(dry_run=True).parameters})
    assert events(written, about=dry) == []
    assert events(written, about=run_report()) == []
    assert len(events(written)) == 1


def test_a_message_says_where_and_until_when() -> None:
    """All clusters of a certificate are in one Event, with the reason of each refusal."""
    (event,) = events(
        cluster_report("dev", WRITTEN), cluster_report("rct", WRITTEN), cluster_report("prd", REFUSED)
    )
    assert event.message == (
        f"Copied to dev homarr-dev/{NAME}, rct homarr-dev/{NAME}; "
        f"not to prd other/{NAME} (OwnedByOther); expires {NEW.not_after:%Y-%m-%d %H:%M} UTC"
    )


def test_the_manifest_is_about_the_certificate() -> None:
    """Kubectl finds an Event by kind, name, namespace and uid of what it is about."""
    (event,) = events(cluster_report("dev", WRITTEN))
    manifest = event.manifest
    about = {"kind": "Certificate", "name": "homarr-dev", "namespace": "certificates-ops", "uid": UID}
    assert manifest["involvedObject"] == about | {"apiVersion": "cert-manager.io/v1"}
    assert manifest["metadata"]["namespace"] == "certificates-ops"
    assert (manifest["type"], manifest["reason"], manifest["count"]) == ("Normal", "Copied", 1)
    assert manifest["firstTimestamp"] == manifest["lastTimestamp"] == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"


def name(*clusters: ClusterReport) -> str:
    (event,) = events(*clusters)
    return str(event.manifest["metadata"]["name"])


def test_equal_writes_have_equal_names() -> None:
    """So a report that is published twice creates nothing twice, and another write has another name."""
    first = name(cluster_report("dev", WRITTEN))
    assert name(cluster_report("dev", WRITTEN)) == first
    later = with_resource().model_copy(update={"clusters": (cluster_report("dev", WRITTEN),)})
    (event,) = kubernetes_events_of(later.model_copy(update={"now": NOW.replace(year=2031)}))
    assert event.manifest["metadata"]["name"] == first
    others = [
        name(cluster_report("rct", WRITTEN)),
        name(cluster_report("dev", replace(WRITTEN, resource_version="9"))),
        name(cluster_report("dev", replace(WRITTEN, new=version("b2")))),
    ]
    assert len({first, *others}) == 4


@pytest.mark.parametrize("certificate_name", ["a", "a" * 253, f"{'a' * 199}.{'b' * 50}"])
def test_a_name_is_one_that_the_api_accepts(certificate_name: str) -> None:
    """Also where the Certificate's own name is as long as a name may be."""
    (event,) = events(cluster_report("dev", WRITTEN), about=with_resource(resource=certificate_name))
    assert is_name(event.manifest["metadata"]["name"])
    assert event.manifest["involvedObject"]["name"] == certificate_name


def test_a_message_has_a_limit() -> None:
    """A certificate on a thousand clusters has a message that names a few and counts the others."""
    long = replace(WRITTEN, target=replace(WRITTEN.target, namespace="n" * 63, name="s" * 253))
    reports = [cluster_report(f"cluster-{number}", long, REFUSED) for number in range(1000)]
    (event,) = events(*reports)
    assert len(event.message) <= MAX_MESSAGE
    (short,) = events(*[cluster_report(f"c-{number}", WRITTEN) for number in range(1000)])
    assert f"c-4 homarr-dev/{NAME} and 995 more; expires" in short.message


def test_warnings_come_first() -> None:
    """Of more Events than a run may create, those with warnings are kept."""
    names = ("a-tls", "b-tls", "c-tls")
    about = [certificate(one, resource=CertificateResource(name=one, uid=UID)) for one in names]
    rows = [replace(WRITTEN, certificate=one.ref.name, target=one.ref) for one in about]
    refused = replace(REFUSED, certificate="b-tls")
    report = run_report(cluster_report("dev", *rows, refused), snapshot=snapshot(*about, rejection("x-tls")))
    assert [one.about.name for one in kubernetes_events_of(report)] == ["b-tls", "a-tls", "c-tls"]
