"""Kubernetes Events on cert-manager's Certificates: which a run has, and what they say."""

from dataclasses import replace

import pytest

from tasks.domain.models import (
    Action,
    CertificateResource,
    Change,
    ClusterReport,
    ListedSecret,
    RefusedRequest,
    RunReport,
    SecretRef,
)
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
    """What lasts of a copy has no Event, however often a run finds it."""
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


def refusing(*requests: RefusedRequest, asked: str | None = None, fit: bool = True) -> RunReport:
    """A run that refused what the Certificate homarr-dev asks for."""
    about = CertificateResource(name="homarr-dev", uid=UID)
    one = certificate(NAME, resource=about)
    listed = ListedSecret(ref=one.ref, uid="u", resource_version="7", resource=about)
    found = snapshot(one) if fit else snapshot(listed)
    report = run_report(snapshot=found.changed(refused_requests=requests))
    parameters = replace(report.parameters, certificate=asked)
    return report.model_copy(update={"parameters": parameters})


def refused(detail: str = "Certificate homarr-dev: prd/x: why", name: str = NAME) -> RefusedRequest:
    ref = SecretRef(namespace="certificates-ops", name=name)
    return RefusedRequest(ref=ref, reason=Reason.REQUEST_BEYOND_LIMITS, detail=detail)


@pytest.mark.parametrize("fit", [True, False], ids=["read", "listed"])
def test_a_refused_request_has_an_event(fit: bool) -> None:
    """Whoever made it sees why at the Certificate, in the words of the report."""
    (event,) = kubernetes_events_of(refusing(refused(), fit=fit))
    assert (event.reason, event.is_warning, event.about.name) == ("RequestBeyondLimits", True, "homarr-dev")
    reason = Reason.REQUEST_BEYOND_LIMITS
    assert event.message == f"{reason.sentence} (Certificate homarr-dev: prd/x: why): {reason.remedy}"


def test_a_refusal_that_lasts_has_one_name() -> None:
    """So each run finds its Event there; another place, or another limit, is another Event."""
    names = [
        kubernetes_events_of(one)[0].manifest["metadata"]["name"]
        for one in (refusing(refused()), refusing(refused(), fit=False), refusing(refused("other")))
    ]
    assert names[0] == names[1] != names[2]


def test_a_refusal_without_its_certificate_has_none() -> None:
    """Nor has one of another certificate in a run for one, or in a report of the watcher on one."""
    assert kubernetes_events_of(refusing(refused(name="other-tls"))) == []
    assert kubernetes_events_of(refusing(refused(), asked="other-tls")) == []
    assert len(kubernetes_events_of(refusing(refused(), asked=NAME))) == 1


def test_a_refusal_of_any_length_keeps_its_remedy() -> None:
    """The detail is what is cut, and nothing in it reaches a terminal as a control character."""
    (event,) = kubernetes_events_of(refusing(refused("\x1b[31m" + "long " * 1000)))
    assert len(event.message) == MAX_MESSAGE
    assert event.message.endswith(f"...): {Reason.REQUEST_BEYOND_LIMITS.remedy}")
    assert "\x1b" not in event.message


def test_copies_come_before_refusals() -> None:
    """Of more Events than a run may create, those are left out that the next run creates."""
    report = refusing(refused()).model_copy(update={"clusters": (cluster_report("dev", WRITTEN),)})
    assert [one.reason for one in kubernetes_events_of(report)] == ["Copied", "RequestBeyondLimits"]
