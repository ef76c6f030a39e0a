"""DER, as far as it must be looked at before a library works with it: tags and lengths. Pure."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from cryptography import x509

INTEGER, OCTET_STRING, OBJECT_ID, SEQUENCE = 0x02, 0x04, 0x06, 0x30
OPTIONAL = 0xA0
"""Tag [0]: the version of a certificate, the parameters of an EC key."""


class Element(NamedTuple):
    tag: int
    content: bytes


def elements(der: bytes) -> Iterator[Element]:
    """The elements that follow one another in it, one at a time. ValueError where one is cut off."""
    place = 0
    while place < len(der):
        begin, length = _measure(der, place)
        if begin + length > len(der):
            raise ValueError("an element is cut off")
        yield Element(der[place], der[begin : begin + length])
        place = begin + length


def _measure(der: bytes, place: int) -> tuple[int, int]:
    """Where the content of the element at this place begins, and its length."""
    first, *more = der[place + 1 : place + 6]
    if first < 0x80:
        return place + 2, first
    size = first & 0x7F
    if not 0 < size <= len(more):
        raise ValueError("a length can't be read")
    return place + 2 + size, int.from_bytes(more[:size], "big")


def sequence(der: bytes, *, most: int) -> list[Element]:
    """What is in the one SEQUENCE that it is. ValueError where it is none, or has more elements."""
    ((tag, content),) = islice(elements(der), 2)
    found = list(islice(elements(content), most + 1))
    if tag != SEQUENCE or len(found) > most:
        raise ValueError("not such a sequence")
    return found


def algorithm_of(certificate: x509.Certificate) -> bytes:
    """The AlgorithmIdentifier of its public key: an object identifier and parameters."""
    ((_, content),) = elements(certificate.tbs_certificate_bytes)
    parts = (part for part in elements(content) if part.tag != OPTIONAL)
    _serial, _signature, _issuer, _validity, _subject, key = islice(parts, 6)
    algorithm, _bits = elements(key.content)
    return algorithm.content
