"""Finds a secret in files: as it is, encoded, or compressed."""

import base64
import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PIECE = 48
"""Bytes in a piece: longer than what all EC keys have in common, and shorter than a database page."""


def traces(secret: bytes) -> set[bytes]:
    """Return pieces of the secret in every encoding that a program may use."""
    forms = set()
    if secret.startswith(b"-----BEGIN"):
        # What is between the armour, without the first bytes, which all keys have in common.
        secret = b"\n".join(secret.splitlines()[1:-1])[12:]
        binary = base64.b64decode(secret.replace(b"\n", b""))
        forms = {binary, binary.hex().encode(), binary.hex().upper().encode()}
    forms |= {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    for start in range(3):  # base64 looks different at each alignment
        once = base64.b64encode(secret[start:])[:-4]
        forms |= {once, once.replace(b"+", b"-").replace(b"/", b"_")}
        forms |= {base64.b64encode(once[second:])[:-4] for second in range(3)}
    return {form[i : i + PIECE] for form in forms for i in range(0, len(form) - PIECE, PIECE)}


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the content, and every part of it that can be decompressed."""
    yield content
    for magic, bits in ((b"\x1f\x8b\x08", 31), (b"\x78\x01", 15), (b"\x78\x9c", 15), (b"\x78\xda", 15)):
        position = content.find(magic)
        while position >= 0:
            with suppress(zlib.error):
                yield zlib.decompressobj(bits).decompress(content[position:], 10_000_000)
            position = content.find(magic, position + 1)


def found_in(content: bytes, secrets: dict[str, bytes]) -> set[str]:
    """Return the names of the secrets of which a trace is in the content."""
    pieces = {name: traces(secret) for name, secret in secrets.items()}
    layers = list(unpacked(content))
    return {n for n, some in pieces.items() if any(piece in layer for layer in layers for piece in some)}


def found_below(directory: Path, secrets: dict[str, bytes]) -> dict[str, set[str]]:
    """Map each path to the names of the secrets of which a trace is in that file."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    found = {str(path.relative_to(directory)): found_in(path.read_bytes(), secrets) for path in files}
    return {path: names for path, names in found.items() if names}


HIDINGS = {
    "as it is": lambda secret: secret,
    "base64": base64.b64encode,
    "base64, shifted": lambda secret: base64.b64encode(b"x" + secret),
    "base64 twice": lambda secret: base64.b64encode(base64.b64encode(b"xy" + secret)),
    "hexadecimal": lambda secret: secret.hex().encode(),
    "compressed": lambda secret: b"..." + zlib.compress(secret) + b"...",
    "compressed base64": lambda secret: gzip.compress(base64.b64encode(secret)),
    "a Python text": lambda secret: repr(secret).encode(),
}
"""Encodings in which a secret could be left behind; a scan must find each."""
