"""Random mutations of the structure of DER, PEM and JSON."""

import base64
import re
from random import Random
from typing import Any

from tasks.source.der import elements
from tests.support.der_writer import element, pem

DEEPEST = 12
MANY = 2000
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----\n?")
OIDS = [
    bytes.fromhex(oid)
    for oid in (
        "2a864886f70d010101",  # RSA
        "2a864886f70d01010a",  # RSASSA-PSS
        "2a8648ce3d0201",  # EC
        "2a8648ce3d030107",  # P-256
        "2b81040022",  # P-384
        "2a8648ce380401",  # DSA
        "2a8648ce3e0201",  # DH
        "2b6570",  # Ed25519
        "2b6571",  # Ed448
        "2b656e",  # X25519
        "551d11",  # subjectAltName
        "551d13",  # basicConstraints
        "551d1e",  # nameConstraints
        "551d1f",  # cRLDistributionPoints
        "551d20",  # certificatePolicies
        "550403",  # commonName
    )
]
TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0C,
    0x13,
    0x16,
    0x17,
    0x18,
    0x1E,
    0x30,
    0x31,
    0x80,
    0x82,
    0xA0,
    0xA3,
)
LABELS = (
    b"CERTIFICATE",
    b"PRIVATE KEY",
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"EC PARAMETERS",
    b"X509 CRL",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    "x" * 5000,
    "\0",
    "\ud800",
    "..",
    [],
    {},
    [[]],
    {"": None},
)

Node = tuple[int, Any]
"""A tag, and the bytes or the nodes in it."""


def parse(der: bytes, depth: int = 0) -> list[Node] | bytes:
    """Parse DER into a tree; anything else, or too deep a level, stays bytes."""
    if depth > DEEPEST or not der:
        return der
    try:
        found = list(elements(der))
    except ValueError:
        return der
    return [(tag, parse(content, depth + 1) if _may_hold(tag) else content) for tag, content in found]


def _may_hold(tag: int) -> bool:
    return bool(tag & 0x20) or tag == 0x04


def write(tree: list[Node] | bytes) -> bytes:
    if isinstance(tree, bytes):
        return tree
    return b"".join(element(tag, write(content)) for tag, content in tree)


def lists_of(tree: list[Node] | bytes) -> list[list[Node]]:
    """Return every list of nodes in the tree."""
    if isinstance(tree, bytes):
        return []
    return [tree, *(one for _, content in tree for one in lists_of(content))]


def spoil_der(der: bytes, chance: Random) -> bytes:
    """Apply one change to the structure or to the bytes."""
    tree = parse(der)
    places = [(nodes, index) for nodes in lists_of(tree) for index in range(len(nodes))]
    if not places or chance.random() < 0.1:
        return spoil_bytes(der, chance)
    nodes, index = chance.choice(places)
    tag, content = nodes[index]
    nodes[index : index + 1] = chance.choice(CHANGES)(tag, content, chance)
    return write(tree)


def _other_tag(_: int, content: Any, chance: Random) -> list[Node]:
    return [(chance.choice(TAGS), content)]


def _other_bytes(tag: int, content: Any, chance: Random) -> list[Node]:
    return [(tag, spoil_bytes(write(content), chance))]


def _other_number(tag: int, content: Any, chance: Random) -> list[Node]:
    size = chance.choice((0, 1, 8, 32, 33, 255, 256, 1024, 4096, 40_000))
    return [(tag, chance.randbytes(size))]


def _other_oid(_: int, __: Any, chance: Random) -> list[Node]:
    return [(0x06, chance.choice(OIDS))]


def _many(tag: int, content: Any, chance: Random) -> list[Node]:
    size = max(1, len(write(content)))
    return [(tag, content)] * chance.randint(2, max(2, min(MANY, 100_000 // size)))


def _deep(tag: int, content: Any, chance: Random) -> list[Node]:
    inner = write(content)[:1000]
    for _ in range(chance.choice((2, 20, 500, 2000))):
        inner = element(tag, inner)
    return [(tag, inner)]


def _nothing(*_: Any) -> list[Node]:
    return []


def _empty(tag: int, _: Any, __: Random) -> list[Node]:
    return [(tag, b"")]


CHANGES = (_other_tag, _other_bytes, _other_bytes, _other_number, _other_oid, _many, _deep, _nothing, _empty)


def spoil_bytes(content: bytes, chance: Random) -> bytes:
    """Flip a bit, or remove, repeat or insert a piece."""
    changed = bytearray(content or b"\0")
    place = chance.randrange(len(changed))
    match chance.randrange(4):
        case 0:
            changed[place] ^= 1 << chance.randrange(8)
        case 1:
            del changed[place : place + chance.randint(1, 9)]
        case 2:
            changed[place:place] = changed[place : place + chance.randint(1, 200)]
        case _:
            changed[place:place] = chance.randbytes(chance.randint(1, 9))
    return bytes(changed)


def spoil_pem(text: bytes, chance: Random) -> bytes:
    """Change one of the blocks, or sometimes the text around it."""
    blocks = list(BLOCK.finditer(text))
    if not blocks or chance.random() < 0.15:
        return spoil_text(text, chance)
    block = chance.choice(blocks)
    label = chance.choice(LABELS) if chance.random() < 0.1 else block[1]
    try:
        der = base64.b64decode(b"".join(block[2].split()))
    except ValueError:  # it was spoilt before
        return spoil_text(text, chance)
    spoilt = pem(spoil_der(der, chance), label.decode())
    return text[: block.start()] + spoilt + text[block.end() :]


def spoil_text(text: bytes, chance: Random) -> bytes:
    blocks = BLOCK.findall(text)
    noise = (
        b"\n\n",
        b"\r",
        b"\0",
        b"-----\n",
        b"-----BEGIN X-----\n",
        b"# ----- a comment -----\n",
        b"\xef\xbb\xbf",
    )
    lines = text.splitlines(keepends=True) or [b""]
    match chance.randrange(6):
        case 0:
            return text.replace(b"\n", chance.choice((b"\r\n", b"\r", b" ", b"", b" \n")))
        case 1:
            lines.insert(chance.randint(0, len(lines)), chance.choice(noise) * chance.choice((1, 1, 5000)))
            return b"".join(lines)
        case 2:
            chance.shuffle(lines)
            return b"".join(lines)
        case 3:
            return text * chance.choice((2, 3, 40))
        case 4:
            return text[: chance.randrange(len(text) + 1)]
        case _:
            return spoil_bytes(text, chance) if blocks else b""


def spoil_json(found: Any, chance: Random) -> Any:
    """Return the value with one of its parts replaced, removed or wrapped."""
    if isinstance(found, dict) and found and chance.random() < 0.85:
        key = chance.choice(sorted(found))
        rest = {one: value for one, value in found.items() if one != key}
        return rest if chance.random() < 0.1 else {**rest, key: spoil_json(found[key], chance)}
    if isinstance(found, list) and found and chance.random() < 0.85:
        place = chance.randrange(len(found))
        return [*found[:place], spoil_json(found[place], chance), *found[place + 1 :]]
    return chance.choice((*ODD, [found], {"x": found}))
