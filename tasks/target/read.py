"""Looks into what is on a target, where its metadata is not enough: once, and only for facts."""

from contextlib import suppress
from dataclasses import replace

from tasks.config.schema import Source
from tasks.domain.models import Rejection, TargetSecret
from tasks.domain.names import data_keys
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.runtime.silence import without_warnings
from tasks.source.checks import Policy, check_secret, version_of
from tasks.source.refusal import CheckFailed, unexpected_as_check_failure
from tasks.source.tls_secret import TLSSecret


def read_copy(target: ClusterClient, secret: TargetSecret, source: Source) -> TargetSecret | None:
    """The same Secret, with facts of the certificate that it really holds; None where it is gone.

    Judged by the checks that OPS's Secrets pass, but for those about time: a good one must not be replaced
    by an older one, what nobody can use must. Raises ClusterError.
    """
    manifest = target.tls_secret(secret.ref)
    if manifest is None:
        return None
    held, unfit, data = None, None, manifest.get("data")
    keys = data_keys(data) if isinstance(data, dict) else frozenset[str]()
    with suppress(CheckFailed), without_warnings, unexpected_as_check_failure():
        held = version_of(TLSSecret(manifest))
    found = check_secret(secret.ref, manifest, Policy(now=None, allow_self_signed=source.allow_self_signed))
    if isinstance(found, Rejection) and found.reason is not Reason.EXAMINATION_FAILED:  # that proves nothing
        unfit = found.reason
    return replace(secret, was_read=True, read=held, keys=keys, unfit=unfit)
