"""What Prefect logs of an error: its message, and where it arose only if nobody foresaw it."""

import io
import logging
from collections.abc import Iterator

import pytest
from prefect.exceptions import FailedRun

from tasks.domain.errors import ClusterFailed, ConfigError
from tasks.domain.models import ClusterReport
from tasks.orchestration.process import LOGGERS, without_tracebacks

TOLD = [ConfigError("cluster: no such"), ClusterFailed(ClusterReport(cluster="dev")), FailedRun("1 of 3")]


@pytest.fixture(params=LOGGERS)
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    logger = logging.getLogger(request.param)
    filters, handlers = list(logger.filters), list(logger.handlers)
    logger.handlers.clear()  # Prefect's own would ask its API
    without_tracebacks()
    yield logger
    logger.filters[:], logger.handlers[:] = filters, handlers


def said(logger: logging.Logger, message: str, error: Exception) -> str:
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


@pytest.mark.parametrize("error", TOLD, ids=lambda error: type(error).__name__)
def test_an_error_that_says_all_is_logged_without_a_traceback(
    logger: logging.Logger, error: Exception
) -> None:
    """One line remains of it, and of Prefect's last one, which has nothing but the traceback, none."""
    assert said(logger, "Task run failed", error) == "Task run failed\n"
    assert said(logger, "Engine execution exited with unexpected exception", error) == ""


def test_an_error_that_nobody_foresaw_keeps_its_traceback(logger: logging.Logger) -> None:
    """A defect is found by the line that it arose in."""
    for message in ("Task run failed", "Engine execution exited with unexpected exception"):
        text = said(logger, message, ValueError("a defect"))
        assert text.startswith(message)
        assert "Traceback" in text


def test_a_line_without_an_error_stays(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Most have none."""
    logger.addHandler(caplog.handler)
    try:
        logger.error("Finished in state Failed")
    finally:
        logger.removeHandler(caplog.handler)
    assert "Finished in state Failed" in caplog.text
