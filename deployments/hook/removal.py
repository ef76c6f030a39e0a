"""Deletes what registration made; on an existing server only the history of runs stays."""

from deployments.hook.errors import HookError, Unreachable
from deployments.hook.kubernetes_jobs import delete_claim, end_jobs, in_cluster
from deployments.hook.prefect_api import DEPLOYMENTS, PrefectApi, Say
from deployments.hook.registration import Release, release_of
from deployments.hook.settings import Settings


def remove(settings: Settings, say: Say) -> None:
    api, (kubernetes, namespace) = PrefectApi(settings), in_cluster()
    ours = Release(namespace, settings.release)
    registered = _reachable(api, settings, say) and _has_our_pool(api, ours, settings, say)
    if registered:
        delete_deployments(api, settings, say)
    for job in end_jobs(kubernetes, namespace, settings.release):
        say(f"Job {job} was deleted")
    if settings.results_claim:
        delete_claim(kubernetes, namespace, settings.results_claim)
        say(f"PersistentVolumeClaim {settings.results_claim} was deleted")
    if registered:
        delete_pool(api, settings, say)


def _reachable(api: PrefectApi, settings: Settings, say: Say) -> bool:
    try:
        api.wait(settings.wait_seconds, say)
    except Unreachable as error:
        if settings.embedded:  # it is deleted with the release, and so are its data
            say(f"the release's own Prefect server does not answer, so nothing is deleted there: {error}")
            return False
        raise HookError(
            f"{error}\nDeployments and work pool stay there until it answers: uninstall again then, or "
            "uninstall with --no-hooks and delete them by hand"
        ) from None
    return True


def _has_our_pool(api: PrefectApi, ours: Release, settings: Settings, say: Say) -> bool:
    """Tell whether our work pool is there. Without it, objects with our names are another release's."""
    pool = api.pool()
    if pool is not None and release_of(pool.base_job_template) != ours:
        say(f"work pool {settings.pool} and its deployments stay: they are not this release's")
    return pool is not None and release_of(pool.base_job_template) == ours


def delete_deployments(api: PrefectApi, settings: Settings, say: Say) -> None:
    """Delete our deployments. Each is paused first, so that no run starts while others are cancelled."""
    for name in DEPLOYMENTS:
        deployment = api.deployment(name)
        if deployment is None:
            continue
        if deployment.work_pool_name != settings.pool:
            say(f"deployment {name} stays: it is in work pool {deployment.work_pool_name}, not in ours")
            continue
        api.pause(deployment)
        cancelled = api.cancel_runs(deployment)
        api.delete_deployment(deployment)
        say(f"deployment {name} was deleted; runs that were cancelled: {cancelled}")


def delete_pool(api: PrefectApi, settings: Settings, say: Say) -> None:
    if api.deployments_of_the_pool():
        say(f"work pool {settings.pool} stays: other deployments use it")
        return
    api.delete_pool()
    say(f"work pool {settings.pool} was deleted")
