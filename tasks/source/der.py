"""Reads tags and lengths of DER, to check values before a library parses them. Pure."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from cryptography import x509

INTEGER, OCTET_STRING, OBJECT_ID, SEQUENCE = 0x02, 0x04, 0x06, 0x30
CONTEXT_0 = 0xA0
"""Tag [0]: the version of a certificate, or the parameters of an EC key."""


class Element(NamedTuple):
    tag: int
    content: bytes


def elements(der: bytes) -> Iterator[Element]:
    """Yield the consecutive elements of `der`. Raises ValueError if one is truncated."""
    position = 0
    while position < len(der):
        begin, length = _measure(der, position)
        if begin + length > len(der):
            raise ValueError("an element is truncated")
        yield Element(der[position], der[begin : begin + length])
        position = begin + length


def _measure(der: bytes, position: int) -> tuple[int, int]:
    """Return where the content of the element at this position begins, and its length in bytes."""
    first, *more = der[position + 1 : position + 6]
    if first < 0x80:
        return position + 2, first
    size = first & 0x7F
    if not 0 < size <= len(more):
        raise ValueError("a length can't be read")
    return position + 2 + size, int.from_bytes(more[:size], "big")


def sequence(der: bytes, *, max_elements: int) -> list[Element]:
    """Return the elements of a single SEQUENCE. Raises ValueError if `der` is anything else or has more."""
    ((tag, content),) = islice(elements(der), 2)
    found = list(islice(elements(content), max_elements + 1))
    if tag != SEQUENCE or len(found) > max_elements:
        raise ValueError("not a SEQUENCE, or one with too many elements")
    return found


def algorithm_of(certificate: x509.Certificate) -> bytes:
    """Return the AlgorithmIdentifier of the certificate's public key: an object identifier and parameters."""
    ((_, content),) = elements(certificate.tbs_certificate_bytes)
    parts = (part for part in elements(content) if part.tag != CONTEXT_0)
    _serial, _signature, _issuer, _validity, _subject, key = islice(parts, 6)
    algorithm, _bits = elements(key.content)
    return algorithm.content
