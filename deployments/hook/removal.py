"""Takes away what registration made: on an existing server nothing of ours stays but the history of runs."""

from deployments.hook.errors import HookError, Unreachable
from deployments.hook.kubernetes_jobs import end_jobs, in_cluster
from deployments.hook.prefect_api import DEPLOYMENTS, PrefectApi, Say
from deployments.hook.registration import ours
from deployments.hook.settings import Settings


def remove(settings: Settings, say: Say) -> None:
    api, (rest, namespace) = PrefectApi(settings), in_cluster()
    reachable = _reachable(api, settings, say)
    if reachable:
        forget_deployments(api, settings, say)
    for job in end_jobs(rest, namespace, settings.release):
        say(f"Job {job} was ended")
    if reachable:
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
    pool = api.pool()
    if pool is None:
        return
    others = [one["name"] for one in api.deployments_of_the_pool()]
    if others or not ours(pool):
        say(f"work pool {settings.pool} stays: {'others use it' if others else 'it is not ours'}")
        return
    api.delete_pool()
    say(f"work pool {settings.pool} was deleted")
