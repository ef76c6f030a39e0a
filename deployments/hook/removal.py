"""Takes away what registration made: on an existing server nothing of ours stays but the history of runs."""

from deployments.hook.errors import HookError, Unreachable
from deployments.hook.kubernetes_jobs import end_jobs, in_cluster
from deployments.hook.prefect_api import DEPLOYMENTS, PrefectApi, Say
from deployments.hook.registration import Release, release_of
from deployments.hook.settings import Settings


def remove(settings: Settings, say: Say) -> None:
    api, (rest, namespace) = PrefectApi(settings), in_cluster()
    ours = Release(namespace, settings.release)
    registered = _reachable(api, settings, say) and _has_our_pool(api, ours, settings, say)
    if registered:
        forget_deployments(api, settings, say)
    for job in end_jobs(rest, namespace, settings.release):
        say(f"Job {job} was ended")
    if registered:
        forget_pool(api, settings, say)


def _reachable(api: PrefectApi, settings: Settings, say: Say) -> bool:
    try:
        api.wait(settings.wait_seconds, say)
    except Unreachable as error:
        if settings.embedded:  # it goes with the release, and so does all that it knows
            say(f"the release's own Prefect server does not answer, so nothing is taken from it: {error}")
            return False
        raise HookError(
            f"{error}\nDeployments and work pool stay there until it answers: uninstall again then, or "
            "uninstall with --no-hooks and delete them by hand"
        ) from None
    return True


def _has_our_pool(api: PrefectApi, ours: Release, settings: Settings, say: Say) -> bool:
    """Without it nothing was registered: what has our names there is another release's."""
    pool = api.pool()
    if pool is not None and release_of(pool["base_job_template"]) != ours:
        say(f"work pool {settings.pool} and its deployments stay: they are not this release's")
    return pool is not None and release_of(pool["base_job_template"]) == ours


def forget_deployments(api: PrefectApi, settings: Settings, say: Say) -> None:
    """The schedule first: nothing new begins while the runs under way are ended."""
    for name in DEPLOYMENTS:
        deployment = api.deployment(name)
        if deployment is None:
            continue
        if deployment["work_pool_name"] != settings.pool:
            say(f"deployment {name} stays: it is of work pool {deployment['work_pool_name']}, not ours")
            continue
        api.pause(deployment)
        cancelled = api.cancel_runs(deployment)
        api.delete_deployment(deployment)
        say(f"deployment {name} was deleted; runs that were cancelled: {cancelled}")


def forget_pool(api: PrefectApi, settings: Settings, say: Say) -> None:
    if api.deployments_of_the_pool():
        say(f"work pool {settings.pool} stays: others use it")
        return
    api.delete_pool()
    say(f"work pool {settings.pool} was deleted")
