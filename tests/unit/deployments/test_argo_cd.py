"""What is said of an Application for which somebody waited in vain."""

from deployments.sandbox.argo_cd.application import describe

NAME = "tls-sync-ops"
UNREACHABLE = (
    "Failed to load target state: failed to generate manifest for source 1 of 2: rpc error: code = Unknown "
    "desc = failed to get git client for repo git://127.0.0.1:9418/bare.git"
)


def test_a_repository_that_can_not_be_reached_is_named() -> None:
    """The Application, its state and Argo CD's own words, which have the repository's address."""
    status = {
        "sync": {"status": "Unknown"},
        "health": {"status": "Healthy"},
        "conditions": [{"type": "ComparisonError", "message": UNREACHABLE}],
        "operationState": {"phase": "Succeeded", "message": "successfully synced (all tasks run)"},
        "resources": [{"kind": "Deployment", "name": "tls-sync-server", "status": "Unknown"}],
    }
    assert describe(NAME, {"status": status}).splitlines() == [
        "Application tls-sync-ops has the sync status Unknown and the health status Healthy.",
        f"ComparisonError: {UNREACHABLE}",
        "Its last operation is Succeeded: successfully synced (all tasks run)",
        "Deployment tls-sync-server: Unknown",
    ]


def test_objects_that_are_not_as_they_should_be_are_named() -> None:
    """Of the objects, only those that are not Synced or not Healthy are named."""
    resources = [
        {"kind": "ConfigMap", "name": "tls-sync-config", "status": "Synced"},
        {"kind": "Service", "name": "tls-sync-server", "status": "Synced", "health": {"status": "Healthy"}},
        {
            "kind": "Deployment",
            "name": "tls-sync-worker",
            "status": "Synced",
            "health": {"status": "Progressing", "message": "0 of 1 updated replicas are available"},
        },
        {"kind": "Job", "name": "tls-sync-register", "hook": True, "health": {"status": "Degraded"}},
    ]
    status = {"sync": {"status": "Synced"}, "health": {"status": "Progressing"}, "resources": resources}
    assert describe(NAME, {"status": status}).splitlines() == [
        "Application tls-sync-ops has the sync status Synced and the health status Progressing.",
        "It has no condition.",
        "Deployment tls-sync-worker: Synced, Progressing, 0 of 1 updated replicas are available",
        "Job tls-sync-register: Degraded",
    ]


def test_an_application_without_a_status_is_described() -> None:
    """An Application that Argo CD has not looked at yet has a sentence, and one that is not there, too."""
    assert describe(NAME, {}).splitlines() == [
        "Application tls-sync-ops has the sync status none and the health status none.",
        "It has no condition.",
    ]
    assert describe(NAME, None) == "There is no Application tls-sync-ops."
