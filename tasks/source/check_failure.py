"""Why a Secret is not fit to be sent: a reason, and a detail that contains none of its data."""

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm

from tasks.domain.reasons import Reason


class CheckFailed(Exception):
    """The Secret is not fit to be sent."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@contextmanager
def as_check_failure(reason: Reason, detail: str = "") -> Iterator[None]:
    """Turn what cryptography raises for a damaged object into a CheckFailed without the original text."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        InternalError,
        UnsupportedAlgorithm,
        InvalidSignature,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        raise CheckFailed(reason, detail) from None


@contextmanager
def unexpected_as_check_failure() -> Iterator[None]:
    """Turn any other error into a CheckFailed with its type only: its text could contain key material.

    So an unexpected error affects only the Secret that caused it. Errors that end the process or the run
    pass through.
    """
    try:
        yield
    except CheckFailed:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or is_panic(error):
            raise CheckFailed(Reason.EXAMINATION_FAILED, type(error).__name__) from None
        raise


def is_panic(error: BaseException) -> bool:
    """Return whether Rust code panicked: PyO3 raises a BaseException whose class can't be imported."""
    return (type(error).__module__, type(error).__name__) == ("pyo3_runtime", "PanicException")
