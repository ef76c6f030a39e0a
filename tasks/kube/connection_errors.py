"""Classifies the exceptions of a request without a complete response. Pure.

Their texts may contain a token or an address, so none is passed on.
"""

import ssl

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import ResponseError
from tasks.runtime.resolver import LookupTimeout, Stopped

FINAL_CAUSES = ((ssl.SSLCertVerificationError, FailureCode.TLS_FAILED), (Stopped, FailureCode.INTERRUPTED))
"""Causes that no retry removes."""


def classify(error: Exception, *, overdue: bool) -> ResponseError:
    """Return the failure. `overdue`: the deadline has passed, so the connection was aborted."""
    for cause, code in FINAL_CAUSES:
        if _has_cause(error, cause):
            return ResponseError(code)
    if overdue:
        return ResponseError(FailureCode.DEADLINE)
    if isinstance(error, TimeoutError):  # of a connection that was open
        return ResponseError(FailureCode.TIMEOUT, transient=True)
    hung_up = _has_cause(error, ssl.SSLEOFError)
    if isinstance(error, NewConnectionError | ConnectTimeoutError | ssl.SSLError) and not hung_up:
        return ResponseError(FailureCode.UNREACHABLE, _lookup_detail(error), transient=True)
    if isinstance(error, ValueError):
        return ResponseError(FailureCode.KUBECONFIG, "the credential does not fit a request")
    return ResponseError(FailureCode.CONNECTION_LOST, transient=True)


def _lookup_detail(error: Exception) -> str:
    """Return why the name was not resolved; empty if it was, or if the server is an IP address."""
    if _has_cause(error, LookupTimeout):
        return "no name server answered"
    return "its name can't be resolved" if isinstance(error, NameResolutionError) else ""


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Return whether the exception, one of its arguments, or one in its context is of this kind."""
    while error:
        if any(isinstance(one, kind) for one in (error, *error.args)):
            return True
        error = error.__context__
    return False
