"""The report of an inventory with copies of each status, for tests and for the picture in the guide."""

from datetime import timedelta

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, Served, ServedMatch
from tasks.domain.reasons import Reason
from tasks.inventory.model import (
    ClusterStatus,
    Content,
    CopyState,
    InventoryReport,
    Status,
)
from tests.support import factories
from tests.support.factories import NOW

NAMES = ("homarr", "headlamp", "grafana", "argocd", "wildcard", "vault", "gitea", "keycloak", "nexus", "web")
CLUSTERS = ("dev", "rct", "prd")
REASONS = {
    Status.IN_SYNC: Reason.IN_SYNC,
    Status.STALE: Reason.CERTIFICATE_RENEWED,
    Status.MISSING: Reason.MISSING_ON_TARGET,
    Status.FOREIGN: Reason.OWNED_BY_OTHER,
    Status.DRIFTED: Reason.DRIFTED,
    Status.REFUSED: Reason.IMMUTABLE,
    Status.UNKNOWN: FailureCode.UNREACHABLE,
    Status.PENDING: Reason.ISSUANCE_PENDING,
    Status.ORPHANED: Reason.NO_LONGER_ROUTED,
}
WITHOUT_COPY = (Status.MISSING, Status.FOREIGN, Status.UNKNOWN, Status.PENDING)


def content(one: Certificate, *, older: float = 0) -> Content:
    """Return the content of a certificate, or of one that was issued `older` days earlier."""
    begin = one.version.not_before - timedelta(days=older)
    return Content(
        fingerprint=one.version.fingerprint if not older else f"v1:sha256:{'0d' * 32}",
        serial=one.serial if not older else "01d",
        not_before=begin,
        not_after=one.version.not_after - timedelta(days=older),
    )


def copy_state(one: Certificate, cluster: str, status: Status, **values: object) -> CopyState:
    """Return a copy in the namespace that the certificate is named after."""
    reason = REASONS[status]
    older = 60 if status is Status.STALE else 0
    fields: dict[str, object] = {
        "certificate": one.ref.name,
        "cluster": cluster,
        "namespace": one.ref.name.removesuffix("-tls"),
        "secret": one.ref.name,
        "status": status,
        "reason": str(reason),
        "remedy": reason.remedy if status in (Status.FOREIGN, Status.REFUSED) else "",
        "stored": None if status in WITHOUT_COPY else content(one, older=older),
        "written_at": None if status in WITHOUT_COPY else one.version.not_before + timedelta(hours=1),
        "source": content(one),
    }
    return CopyState.model_validate(fields | values)


def example(count: int = 10, clusters: tuple[str, ...] = CLUSTERS) -> InventoryReport:
    """Return a report of `count` certificates with a copy on each cluster; the first ones are not in sync."""
    certificates = [
        factories.certificate(
            f"{NAMES[index % len(NAMES)]}{index // len(NAMES) or ''}-tls",
            f"{index % 256:02x}",
            serial=f"{0x3E5A9C1F0000 + index:036x}",
            age=(index * 37) % 85,
            leaf=f"{index:064x}",
        )
        for index in range(count)
    ]
    special = [status for status in Status if status not in (Status.IN_SYNC, Status.UNKNOWN)]
    rows = []
    for index, one in enumerate(certificates):
        for cluster in clusters:
            special_case = index < len(special) and cluster == clusters[index % (len(clusters) - 1)]
            status = Status.UNKNOWN if cluster == clusters[-1] else Status.IN_SYNC
            rows.append(copy_state(one, cluster, special[index] if special_case else status))
    address = "ingress.dev.example.org"
    older = Served(
        address=address,
        name="web.dev.example.org",
        match=ServedMatch.OLDER,
        serial="01d",
        not_after=NOW + timedelta(days=4),
        detail="an older certificate: the server has not loaded the stored one",
    )
    silent = Served(address=address, match=ServedMatch.NONE, detail="connection refused")
    rows.append(copy_state(certificates[-1], clusters[0], Status.IN_SYNC, namespace="shop", served=(older,)))
    rows.append(copy_state(certificates[-2], clusters[0], Status.IN_SYNC, namespace="shop", served=(silent,)))
    down = factories.failure(cluster=clusters[-1], what="get namespace kube-system")
    return InventoryReport(
        now=NOW,
        snapshot=factories.snapshot(
            *certificates,
            factories.rejection("expired-tls"),
            factories.issuance("new-tls"),
            unrouted_rejections=2,
        ),
        copies=tuple(sorted(rows, key=lambda row: (row.ok, list(Status).index(row.status)))),
        clusters=tuple(
            ClusterStatus(cluster=name, failures=(down,) if name == clusters[-1] else ()) for name in clusters
        ),
        suspended=("test",),
    )
