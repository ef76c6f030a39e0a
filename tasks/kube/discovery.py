"""Reads which clusters announce themselves on OPS. Without `discover` it sends no request."""

import time
from dataclasses import dataclass

from tasks.config.discovered import Discovered, Profile, expand
from tasks.config.limits import CLUSTER_SECONDS
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ClusterError, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure
from tasks.domain.parameters import RunParameters
from tasks.kube.pool import client_of_source

EVERYTHING = RunParameters()
NO_KIND = "OPS does not serve them: install SIG Multicluster's CustomResourceDefinition, or remove `discover`"


@dataclass(frozen=True)
class Listed:
    """What OPS announces, or why that is not known."""

    profiles: tuple[Profile, ...] = ()
    failure: Failure | None = None


def discover(config: SyncConfig, parameters: RunParameters = EVERYTHING) -> Discovered:
    """Return the configuration with the clusters that are announced on OPS.

    If they can't be read, the failure is in the result, and the configured clusters are served. Raises
    ConfigError as `for_run` does.
    """
    return with_listed(config, list_profiles(config)).for_run(parameters)


def with_listed(config: SyncConfig, listed: Listed) -> Discovered:
    """Return the configuration with these profiles; with a failure, those that were known before."""
    if config.discover is None:
        return Discovered(config)
    found = expand(config, listed.profiles)
    if listed.failure is None:
        return found
    return found._replace(discovery=Discovery(is_configured=True, failure=listed.failure))


def list_profiles(config: SyncConfig) -> Listed:
    """Return what OPS announces; nothing without `discover`."""
    if config.discover is None:
        return Listed()
    wanted, operation = config.discover.cluster_profiles, "list the ClusterProfiles"
    try:
        with client_of_source(config.source, time.monotonic() + CLUSTER_SECONDS) as client:
            pages = client.cluster_profiles(wanted.namespace, wanted.selector)
            found = [profile for page in pages for profile in page]
            return Listed(tuple(sorted(found, key=lambda one: one.name)))
    except ClusterError as error:
        failure = error.failure
        if failure.code is FailureCode.API_MISSING:
            failure = failure.model_copy(update={"detail": NO_KIND})
        return Listed(failure=failure)
    except Exception as error:  # noqa: BLE001  its text could hold anything, so it ends here
        return Listed(failure=internal_error(config.source.label, operation, error))
