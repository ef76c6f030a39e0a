"""Codes of failures at a cluster, for reports, metrics and alerts: codes are added, but never renamed."""

from tasks.domain.reasons import ExplainedCode


class FailureCode(ExplainedCode):
    UNREACHABLE = (
        "Unreachable",
        "no connection to the API server",
        "check that the API server runs and that the network lets OPS reach it",
    )
    CONNECTION_LOST = (
        "ConnectionLost",
        "the connection was lost before the response",
        "look for a restart of the API server or a proxy between OPS and the cluster",
    )
    TIMEOUT = (
        "Timeout",
        "the API server did not answer in time",
        "look at the load and the health of the API server",
    )
    DEADLINE = (
        "DeadlineExceeded",
        "the time limit of the cluster has passed",
        "look at the health of the API server; the next run continues",
    )
    INTERRUPTED = (
        "Interrupted",
        "the run was stopped before this was done",
        "nothing to do: the next run continues",
    )
    WORKER_LOST = (
        "WorkerLost",
        "the task runner's worker for this cluster returned no report",
        (
            "look at the logs of Dask's scheduler and workers: all need the run's image, or its "
            "contents, and enough memory"
        ),
    )
    HELD_BACK = (
        "HeldBack",
        "only what expires within 24 hours is written for now",
        (
            "repair what failed in the previous wave; or, if this cluster can't wait, start a run for it by "
            "name, without urgent_only"
        ),
    )
    NOT_SERVED = (
        "NotServed",
        "an address of an earlier wave does not present the certificate that is stored there",
        (
            "reload what serves that address, or correct `served` of its route; the next run looks again. If "
            "this cluster can't wait, start a run for it by name"
        ),
    )
    PRUNE_REFUSED = (
        "PruneRefused",
        "copies without a source were not deleted: too many at once, or OPS can't prove that it is gone",
        (
            "see whether OPS lost them; where it is meant, delete the Certificate there too, or the copies "
            "by hand; or set `prune: false`"
        ),
    )
    TLS_FAILED = (
        "TLSFailed",
        "the API server's certificate could not be verified",
        "put the cluster's current CA into the kubeconfig",
    )
    UNAUTHORIZED = (
        "Unauthorized",
        "the credential is not accepted",
        "put a fresh token into the kubeconfig",
    )
    FORBIDDEN = (
        "Forbidden",
        "the API server forbids it",
        "check the namespace and its Role (deployments/); a policy or a quota may also forbid a write",
    )
    SELECTOR_TOO_WIDE = (
        "SelectorTooWide",
        "too many namespaces of the target have the labels of a route",
        "take the label off those that are to get nothing, or narrow the route's namespaceSelector",
    )
    NAMESPACE_MISSING = (
        "NamespaceMissing",
        "the namespace does not exist",
        "create it, or take it out of the route",
    )
    NAMESPACE_TERMINATING = (
        "NamespaceTerminating",
        "the namespace is being deleted",
        "take it out of the route, or create it again",
    )
    NOT_FOUND = ("NotFound", "the object does not exist", "check the name")
    API_MISSING = (
        "APIMissing",
        "the API server does not know this kind of object",
        "check `server` in the kubeconfig, and that the cluster has Kubernetes 1.30 or later",
    )
    CONFLICT = (
        "Conflict",
        "someone changed the object at the same time",
        "nothing to do: the next attempt plans again",
    )
    ALTERED = (
        "AlteredByAdmission",
        "the target's admission changed the data that was written",
        "look at the mutating webhooks and policies of the namespace: they must leave this Secret alone",
    )
    TOO_MUCH = (
        "AnswerTooLarge",
        "the response is larger than the limit",
        "look for huge objects in the namespace",
    )
    TOO_MANY = (
        "TooMany",
        "it exceeds the limits of one run",
        (
            "give the pod more memory (chart: tlsSync.resources), run for one group of clusters at a time or "
            "as a fleet (docs/scaling.md), or narrow the routes; for more Secrets on OPS, make two "
            "configurations, each with an `owner`, clusters and a source.selector of its own"
        ),
    )
    THROTTLED = (
        "Throttled",
        "the API server asks to slow down",
        "look at its API Priority and Fairness",
    )
    LIST_EXPIRED = (
        "ListExpired",
        "the list expired before it was read completely",
        "nothing to do: the next attempt reads it again",
    )
    INVALID = (
        "Invalid",
        "the API server does not accept the object",
        "look at the webhooks and admission policies of the namespace",
    )
    SERVER_ERROR = ("ServerError", "the API server failed", "look at the API server's log")
    PROTOCOL = (
        "ProtocolError",
        "the response is not that of a Kubernetes API",
        "look for a proxy or portal between OPS and the cluster",
    )
    WRONG_CLUSTER = (
        "WrongCluster",
        "the kubeconfig leads to another cluster than the pinned one",
        "correct the context, or clusterId if the cluster was really replaced",
    )
    KUBECONFIG = (
        "KubeconfigInvalid",
        "the kubeconfig can't be used",
        (
            "correct the kubeconfig (`tls-sync rights kubeconfig --cluster NAME` creates that "
            "context again), or `context` in the configuration"
        ),
    )
    NO_CREDENTIAL = (
        "NoCredential",
        "the discovered cluster has no Secret with a kubeconfig",
        (
            "make it with `tls-sync rights kubeconfig --cluster NAME --ops-context CONTEXT`, then pin the "
            "cluster (`tls-sync rights pin NAME --ops-context CONTEXT`)"
        ),
    )
    NOT_PINNED = (
        "NotPinned",
        "nobody has said which cluster the discovered one is",
        "`tls-sync rights pin NAME --ops-context CONTEXT` asks the cluster, and prints what pins it",
    )
    NO_HOSTNAMES = (
        "NoHostnames",
        "a route is for the discovered cluster, and no `hostnames` are",
        "add `hostnames` at the top level for its name or labels, or narrow the route",
    )
    PROFILE_REFUSED = (
        "ProfileRefused",
        "the ClusterProfile can't be used",
        "correct the ClusterProfile, its labels or the routes that are for it",
    )
    PROFILE_GONE = (
        "ProfileGone",
        "the discovered cluster is no longer announced, and nothing was deleted",
        (
            "if it is retired, delete its Secret, and its copies if it still runs; else create its "
            "ClusterProfile again, or give it an entry under `clusters`"
        ),
    )
    EXEC_FAILED = (
        "ExecPluginFailed",
        "the kubeconfig's exec plugin returned no credential",
        "run it by hand in the image; look at the cloud's rights of the run's ServiceAccount",
    )
    EXCESSIVE_RIGHTS = (
        "ExcessiveRights",
        "the credential may do more with Secrets there than tls-sync needs",
        (
            "apply what `tls-sync rights manifests --cluster NAME` prints (with `delete` only "
            "where `prune: true`), and bind nothing else to the ServiceAccount"
        ),
    )
    UNSAFE_PLAN = (
        "UnsafePlan",
        "the plan breaks a safety rule, so it was not carried out",
        "this is a defect of tls-sync: report it with the run's artifact",
    )
    INTERNAL = (
        "InternalError",
        "tls-sync failed",
        "this is a defect of tls-sync: report it with the type named here",
    )
