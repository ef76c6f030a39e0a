"""Prefect logs an expected error by its message, and an unexpected one with its traceback."""

import io
import logging
from collections.abc import Iterator

import pytest
from prefect.exceptions import FailedRun

from tasks.domain.errors import ClusterFailed, ConfigError
from tasks.domain.models import ClusterReport
from tasks.orchestration.process import LOGGERS, drop_expected_tracebacks

EXPECTED = [ConfigError("cluster: no such"), ClusterFailed(ClusterReport(cluster="dev")), FailedRun("1 of 3")]


@pytest.fixture(params=LOGGERS)
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    logger = logging.getLogger(request.param)
    filters, handlers = list(logger.filters), list(logger.handlers)
    logger.handlers.clear()  # Prefect's own would connect to its API
    drop_expected_tracebacks()
    yield logger
    logger.filters[:], logger.handlers[:] = filters, handlers


def logged(logger: logging.Logger, message: str, error: Exception) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        try:
            raise error
        except Exception:
            logger.exception(message)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: type(error).__name__)
def test_an_expected_error_is_logged_without_a_traceback(logger: logging.Logger, error: Exception) -> None:
    """Only the message is logged; Prefect's last line, which adds nothing but the traceback, is dropped."""
    assert logged(logger, "Task run failed", error) == "Task run failed\n"
    assert logged(logger, "Engine execution exited with unexpected exception", error) == ""


def test_an_unexpected_error_keeps_its_traceback(logger: logging.Logger) -> None:
    """The log of an unexpected error has its traceback."""
    for message in ("Task run failed", "Engine execution exited with unexpected exception"):
        text = logged(logger, message, ValueError("a defect"))
        assert text.startswith(message)
        assert "Traceback" in text


def test_a_line_without_an_error_stays(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """A record without an exception is logged unchanged."""
    logger.addHandler(caplog.handler)
    try:
        logger.error("Finished in state Failed")
    finally:
        logger.removeHandler(caplog.handler)
    assert "Finished in state Failed" in caplog.text
