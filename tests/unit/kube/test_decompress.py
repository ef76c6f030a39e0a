"""The body of a response: compressed or not, whole or not, and never larger than it may be."""

import gzip
import os
import tracemalloc
import zlib

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.kube.responses import ResponseError, decompress

LOST = ResponseError(FailureCode.CONNECTION_LOST, transient=True)
TEXT = b"0123456789" * 10
MIB = 2**20


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_not_compressed(encoding: str) -> None:
    """What is not compressed is returned as it is, even where it looks compressed."""
    for content in (b"", TEXT, gzip.compress(TEXT)):
        assert decompress(content, encoding, 1) is content


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
def test_gzip(encoding: str) -> None:
    """Gzip is decompressed, and an empty body is an empty body."""
    assert decompress(gzip.compress(TEXT), encoding, len(TEXT)) == TEXT
    assert decompress(b"", encoding, 1) == b""


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_an_encoding_that_was_not_requested(encoding: str) -> None:
    """Only gzip is requested; anything else is an error of the protocol."""
    expected = ResponseError(FailureCode.PROTOCOL, "an encoding that was not requested")
    assert decompress(gzip.compress(TEXT), encoding, MIB) == expected


def test_far_repetitions() -> None:
    """Gzip refers to what is up to 32 KiB before."""
    block = os.urandom(30_000)
    assert decompress(gzip.compress(block * 2), "gzip", MIB) == block * 2


@pytest.mark.parametrize("excess", [1, 2, 100])
@pytest.mark.parametrize("max_bytes", [1, 2, 99, 100])
def test_too_much(max_bytes: int, excess: int) -> None:
    """One byte more than allowed is too much; as many as allowed are not."""
    allowed = b"x" * max_bytes
    assert decompress(gzip.compress(allowed), "gzip", max_bytes) == allowed
    larger = gzip.compress(allowed + b"x" * excess)
    assert decompress(larger, "gzip", max_bytes) == ResponseError(FailureCode.TOO_MUCH)


def test_a_bomb_costs_no_memory() -> None:
    """Of what decompresses to 64 MiB, no more is decompressed than is allowed."""
    bomb = gzip.compress(bytes(64 * MIB), compresslevel=1)
    tracemalloc.start()
    try:
        assert decompress(bomb, "gzip", MIB) == ResponseError(FailureCode.TOO_MUCH)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[:12],
        gzip.compress(TEXT)[:5],
        gzip.compress(TEXT)[:-8] + bytes(8),
        b"no gzip",
        zlib.compress(TEXT),
        TEXT,
    ],
    ids=[
        "a byte missing",
        "cut off",
        "part of a header",
        "another checksum",
        "no gzip",
        "zlib",
        "no encoding",
    ],
)
def test_not_whole(content: bytes) -> None:
    """What is not whole gzip comes from a connection that broke, perhaps after a write took place."""
    assert decompress(content, "gzip", MIB) == LOST
