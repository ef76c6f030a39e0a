"""Builders of models for tests; by default each is valid and without problems."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter

from tasks.config.metadata import NOTHING_GIVEN, Metadata
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain import annotations
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    ClusterReport,
    Failure,
    Issuance,
    ListedSecret,
    ManagedKeys,
    Owner,
    RefusedRequest,
    Rejection,
    Row,
    RunReport,
    SecretRef,
    SourceEntry,
    SourceSnapshot,
    TargetSecret,
    Version,
)
from tasks.domain.parameters import PARAMETERS, RunParameters
from tasks.domain.reasons import Reason
from tasks.plan import ownership

R = TypeVar("R", bound=Row)

law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Settings of properties: a busy machine does not make them fail."""

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNER = "ops"
OPS_ID = "5d0c9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"
US = Owner(name=OWNER, cluster_id=OPS_ID)
SOURCE_NAMESPACE = "certificates-ops"
NAME = "homarr-dev-tls"
NAMESPACE = "homarr-dev"
HOSTNAMES = ("*.dev.example.org",)
PAIR = frozenset({"tls.crt", "tls.key"})
METADATA = annotations.STAMPED


def version(content: str = "a1", *, age: float = 10, life: float = 90) -> Version:
    """Return a version issued `age` days before NOW for `life` days."""
    begin = NOW - timedelta(days=age)
    return Version(
        fingerprint=f"v1:sha256:{content * 32}", not_before=begin, not_after=begin + timedelta(days=life)
    )


def certificate(name: str = NAME, content: str = "a1", **values: Any) -> Certificate:
    """Return a fit certificate on OPS; `age` and `life` are in days, other values are fields."""
    age, life = values.pop("age", 10), values.pop("life", 90)
    fields: dict[str, Any] = {
        "ref": SecretRef(namespace=SOURCE_NAMESPACE, name=name),
        "uid": f"uid-of-{name}",
        "resource_version": "7",
        "keys": ("tls.crt", "tls.key"),
        "serial": "5eed",
        "issuer": "R10",
        "dns_names": ("homarr.dev.example.org",),
        "version": version(content, age=age, life=life),
    }
    return Certificate(**{**fields, **values})


def rejection(name: str = NAME, reason: Reason = Reason.EXPIRED, detail: str = "since 2026") -> Rejection:
    return Rejection(ref=SecretRef(namespace=SOURCE_NAMESPACE, name=name), reason=reason, detail=detail)


def refused_request(
    name: str = NAME, reason: Reason = Reason.REQUEST_BEYOND_LIMITS, detail: str = "Certificate homarr: why"
) -> RefusedRequest:
    return RefusedRequest(ref=SecretRef(namespace=SOURCE_NAMESPACE, name=name), reason=reason, detail=detail)


def issuance(name: str = NAME, *, minutes: float = 5, **values: Any) -> Issuance:
    """Return an issuance that has been pending for this time."""
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name=name)
    since = NOW - timedelta(minutes=minutes)
    return Issuance(ref=ref, certificate=name, since=since, **values)


def snapshot(*found: SourceEntry, **values: Any) -> SourceSnapshot:
    return SourceSnapshot(
        certificates=tuple(one for one in found if isinstance(one, Certificate)),
        rejections=tuple(one for one in found if isinstance(one, Rejection)),
        issuances=tuple(one for one in found if isinstance(one, Issuance)),
        listed=tuple(one for one in found if isinstance(one, ListedSecret)),
        **values,
    )


def target_secret(  # noqa: PLR0913  each test gives one or two of them
    holds: Certificate | None = None,
    *,
    namespace: str = NAMESPACE,
    name: str | None = None,
    owner: str = OWNER,
    stamped: bool = True,
    given: Metadata = NOTHING_GIVEN,
    **values: Any,
) -> TargetSecret:
    """Our copy of a certificate, as a run would find it that wrote it before; labelled ones bear our stamp.

    Not `stamped`, it is as an earlier version wrote it. `given` is what its route gave then.
    """
    source = holds or certificate()
    fields: dict[str, Any] = {
        "ref": SecretRef(namespace=namespace, name=name or source.ref.name),
        "uid": "uid-of-copy",
        "resource_version": "41",
        "type": annotations.SECRET_TYPE,
        "labels": given.labels | ownership.labels(owner),
        "annotations": given.annotations | ownership.metadata_record(given) | ownership.annotations(source),
        "managed": ManagedKeys(
            ours=frozenset(source.keys),
            ours_metadata=METADATA.union(ownership.metadata_record(given)),
            ours_given=given.keys,
        ),
    }
    if not stamped:
        fields["managed"] = replace(fields["managed"], ours_metadata=annotations.METADATA)
    fields |= values
    stamp = ownership.source_cluster_annotation(US) if stamped and fields["labels"] else {}
    return TargetSecret(**{**fields, "annotations": stamp | fields["annotations"]})


def through_json(row: R) -> R:
    """Return the row as read from the result storage, with new text objects."""
    adapter = TypeAdapter(type(row))
    # By the standard library: pydantic's own parser gives one object for equal texts.
    return adapter.validate_python(json.loads(adapter.dump_json(row)))


def foreign_secret(namespace: str = NAMESPACE, name: str = NAME, **values: Any) -> TargetSecret:
    """Return a Secret created by someone else with `kubectl create`."""
    return target_secret(
        namespace=namespace,
        name=name,
        **{"labels": {}, "annotations": {}, "managed": ManagedKeys(others=PAIR), **values},
    )


def route(
    certificates: Iterable[str] = (NAME,),
    namespaces: Iterable[str] = (NAMESPACE,),
    name: str | None = None,
    **values: Any,
) -> dict[str, Any]:
    return {"certificates": list(certificates), "namespaces": list(namespaces), "name": name, **values}


def cluster(
    *routes: Mapping[str, Any], name: str = "dev", hostnames: Iterable[str] = HOSTNAMES, **values: Any
) -> Cluster:
    """Return a cluster with these routes, or with one that sends NAME to NAMESPACE."""
    document: dict[str, Any] = {
        "name": name,
        "context": f"cluster-{name}",
        "hostnames": list(hostnames),
        "routes": [dict(one) for one in routes] or [route()],
    }
    return Cluster.model_validate({**document, **values})


def change(
    action: Action = Action.KEEP,
    reason: Reason = Reason.IN_SYNC,
    name: str = NAME,
    *,
    namespace: str = NAMESPACE,
    **values: Any,
) -> Change:
    """A row of a plan, of a copy that has the name of its certificate."""
    target = SecretRef(namespace=namespace, name=name)
    return Change(action=action, reason=reason, target=target, **{"certificate": name, **values})


def failure(
    code: FailureCode = FailureCode.UNREACHABLE,
    cluster: str = "rct",
    what: str = "list secrets in homarr-rct",
    **values: Any,
) -> Failure:
    return Failure(code=code, cluster=cluster, what=what, **values)


def cluster_report(cluster: str = "dev", *changes: Change, **values: Any) -> ClusterReport:
    return ClusterReport(cluster=cluster, changes=changes, **values)


def unpinned_clusters(*names: str) -> SyncConfig:
    """A configuration of clusters without a clusterId."""
    document = {"owner": OWNER, "source": {"namespace": SOURCE_NAMESPACE}}
    return SyncConfig.model_validate({**document, "clusters": [cluster(name=name) for name in names]})


def run_report(*clusters: ClusterReport, **values: Any) -> RunReport:
    """The report of a run at NOW, on an OPS with one certificate.

    Parameters of the flow are given by name, as are the fields of the report.
    """
    asked = {name: values.pop(name) for name in PARAMETERS & values.keys()}
    fields = {"snapshot": snapshot(certificate()), "now": NOW, "parameters": RunParameters(**asked)}
    return RunReport(clusters=clusters, **{**fields, **values})
