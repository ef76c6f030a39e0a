"""TLS that verifies whom it talks to, and writes no session key anywhere."""

import ssl
import sys

KEY_LOG = "SSLKEYLOGFILE"
"""Names a file for the keys of each session, with which what was recorded can be read."""


def verifying(cadata: str | None = None) -> ssl.SSLContext:
    """What ssl.create_default_context makes, which would also heed that variable.

    With these authorities alone, or with the system's. Raises ssl.SSLError where they are none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if cadata is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=cadata)
    return context
