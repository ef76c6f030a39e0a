"""Makes TLS contexts that verify the server and never log session keys."""

import ssl
import sys

KEY_LOG = "SSLKEYLOGFILE"
"""The variable that names a file for session keys, with which recorded traffic can be decrypted."""


def tls_context(cadata: str | None = None) -> ssl.SSLContext:
    """Return a context like that of ssl.create_default_context, which however obeys SSLKEYLOGFILE.

    It trusts the CAs in `cadata` (PEM), or else the system's. Raises ssl.SSLError if there are none in it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if cadata is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=cadata)
    return context
