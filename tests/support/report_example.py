"""A run's report with rows of each kind, for tests."""

from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tests.support.factories import (
    certificate,
    change,
    cluster_report,
    failure,
    issuance,
    rejection,
    run_report,
    snapshot,
    version,
)

OLD, NEW = version("b2", age=70), version("a1", age=10)
CREATED = change(Action.CREATE, Reason.MISSING_ON_TARGET, "a-tls", new=NEW, applied=True)
UPDATED = change(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "b-tls", old=OLD, new=NEW, applied=True)
REFUSED = change(Action.REFUSE, Reason.OWNED_BY_OTHER, "c-tls", new=NEW)
GONE = change(Action.KEEP, Reason.GONE_FROM_SOURCE, "d-tls", old=OLD)
PENDING = change(Action.NOTHING, Reason.ISSUANCE_PENDING, "n-tls", detail="Certificate n-tls, since noon")
LATE = change(Action.KEEP, Reason.ISSUANCE_LATE, "o-tls", old=OLD)
DOWN = cluster_report("rct", failures=(failure(),))
EXAMPLE = run_report(
    cluster_report(
        "dev", CREATED, GONE, change(), warnings=("clusterId is not pinned; this cluster's is 0c2f",)
    ),
    cluster_report("rct", REFUSED, failures=(failure(detail="HTTP 500", transient=True),)),
    cluster_report("prd", change()),
    snapshot=snapshot(
        certificate(),
        certificate("old-tls", age=85, warnings=("tls.crt holds no issuer",)),
        rejection("x-tls"),
        issuance("n-tls"),
        issuance("o-tls", attempts=1),
        warnings=("a-tls: not ready",),
        unrouted_rejections=3,
        unrouted_issuances=1,
    ),
    suspended=("lab",),
)
