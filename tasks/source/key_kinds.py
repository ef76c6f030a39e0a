"""The kinds of keys that are sent: those that all programs support, in an encoding that all read. Pure."""

from enum import StrEnum

from tasks.domain.reasons import Reason
from tasks.source.check_failure import CheckFailed


class Kind(StrEnum):
    RSA = "RSA"
    EC = "EC"
    ED25519 = "Ed25519"


NULL = bytes.fromhex("0500")
RSA = bytes.fromhex("06092a864886f70d010101")
RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")
EC = bytes.fromhex("06072a8648ce3d0201")
P256 = bytes.fromhex("06082a8648ce3d030107")
P384 = bytes.fromhex("06052b81040022")
P521 = bytes.fromhex("06052b81040023")
ED25519 = bytes.fromhex("06032b6570")

CURVES = frozenset({P256, P384, P521})
ALGORITHMS = {RSA + NULL: Kind.RSA, ED25519: Kind.ED25519} | {EC + curve: Kind.EC for curve in CURVES}
"""AlgorithmIdentifiers of public keys, each an object identifier and its parameters."""
UNUSUAL = "unusual kind of key"


def kind_of(algorithm: bytes) -> Kind:
    """Return the kind of a public key. Go supports neither RSASSA-PSS keys nor curves that are not named.

    Raises CheckFailed if the kind is not supported everywhere.
    """
    if kind := ALGORITHMS.get(algorithm):
        return kind
    if algorithm.startswith(RSASSA_PSS):
        raise CheckFailed(Reason.WEAK_KEY, "RSASSA-PSS")
    if algorithm.startswith(EC):
        require_curve(algorithm.removeprefix(EC))
    raise CheckFailed(Reason.WEAK_KEY, UNUSUAL)


def kind_of_private(algorithm: bytes) -> Kind:
    """Return the kind of a private key in PKCS#8, where RSA's parameters (NULL) may be missing."""
    return Kind.RSA if algorithm == RSA else kind_of(algorithm)


def require_curve(parameters: bytes) -> None:
    """Raise CheckFailed unless the parameters of an EC key name a curve that all programs support."""
    if parameters not in CURVES:
        named = parameters[:1] == P256[:1]
        raise CheckFailed(Reason.WEAK_KEY, UNUSUAL if named else "explicit EC parameters")
