"""A response as it comes from a connection, without a server."""

import io
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any
from unittest.mock import Mock

from tasks.kube.connections import OpenResponse


def open_response(status: int, headers: Mapping[str, str], body: bytes = b"") -> OpenResponse:
    """Its body ends where the connection does, unless a header says otherwise."""
    lines = [f"HTTP/1.1 {status} any", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection: Any = Mock()
    connection.makefile.return_value = io.BytesIO("\r\n".join(lines).encode() + body)
    response = HTTPResponse(connection)
    response.begin()
    return OpenResponse(response, connection, Mock())
