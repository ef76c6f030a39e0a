"""What cert-manager writes on request beside tls.crt, tls.key and ca.crt, made by hand."""

import base64
from collections.abc import Iterable, Mapping

FURTHER = ("key.der", "keystore.p12", "tls-combined.pem")


def with_formats(data: Mapping[str, str], keys: Iterable[str] = FURTHER) -> dict[str, str]:
    """Return the data of a Secret with these keys, too; a keystore is any bytes that belong to the key."""
    certificate, key = (base64.b64decode(data[name]) for name in ("tls.crt", "tls.key"))
    der = base64.b64decode(b"".join(line for line in key.splitlines() if b"-----" not in line))
    made = {
        "key.der": der,
        "tls-combined.pem": key + b"\n" + certificate,
        "keystore.p12": b"a keystore of " + der[-20:],
    }
    return {**data, **{name: base64.b64encode(made[name]).decode() for name in keys}}
