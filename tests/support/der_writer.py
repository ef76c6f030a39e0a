"""Writes DER and PEM, valid or invalid."""

import base64
import textwrap

from tasks.source import der


def element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    written = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(written)]) + written + content


def sequence(*parts: bytes) -> bytes:
    return element(der.SEQUENCE, b"".join(parts))


def integer(value: int) -> bytes:
    return element(der.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(content: bytes) -> bytes:
    return element(der.OCTET_STRING, content)


def bits(content: bytes) -> bytes:
    return element(0x03, b"\0" + content)


def pem(content: bytes, label: str = "CERTIFICATE") -> bytes:
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
