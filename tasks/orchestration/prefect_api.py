"""Prefect's API for commands: a client whose errors are sentences that say what to do."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from tasks.domain.names import without_user


class PrefectAPIError(Exception):
    """Prefect's API did not return what was requested; the message says why, and what to do."""


@contextmanager
def prefect_api() -> Iterator[SyncPrefectClient]:
    """Open Prefect's client; without PREFECT_API_URL, with a server that Prefect starts for it.

    Errors of the client inside the block are raised as PrefectAPIError.
    """
    address = PREFECT_API_URL.value()
    where = f"Prefect's API at {without_user(address)}" if address else "Prefect's temporary server"
    try:
        with _quiet(), get_client(httpx_settings={"timeout": 30}, sync_client=True) as client:
            yield client
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            message = f"{where} refuses our credentials (HTTP {status}); check PREFECT_API_AUTH_STRING"
            raise PrefectAPIError(message) from None
        raise PrefectAPIError(
            f"{where} answers HTTP {status}; check PREFECT_API_URL (it ends in /api)"
        ) from None
    except httpx.HTTPError as error:
        raise PrefectAPIError(
            f"{where} does not answer ({type(error).__name__}); check PREFECT_API_URL"
        ) from None
    except httpx.InvalidURL:
        raise PrefectAPIError(
            f"{where} can't be asked: PREFECT_API_URL is not an address; correct it"
        ) from None
    except (ValidationError, ValueError, RuntimeError) as error:
        raise PrefectAPIError(
            f"{where} answers, but not as Prefect's API ({type(error).__name__}); check PREFECT_API_URL"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings of Prefect's client inside the block: an error is reported once, by us."""
    logger = logging.getLogger("prefect")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
