"""A TLS handshake with a Secret's certificate, as an application's clients make it."""

import base64
import os
import socket
import ssl
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from deployments.sandbox.clusters.manifests import Manifest

_SECONDS = 10


def certificate_served(secret: Manifest, hostname: str, root: bytes) -> x509.Certificate:
    """Serve TLS with the Secret, and return what a client gets that trusts this root certificate alone.

    Raises ssl.SSLError where the client refuses it: another name, an incomplete chain, another key.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=_serve, args=(server_context(secret), theirs))
        thread.start()
        try:
            ours.settimeout(_SECONDS)
            client = ssl.create_default_context(cadata=root.decode())
            with client.wrap_socket(ours, server_hostname=hostname) as connection:
                served = connection.getpeercert(binary_form=True)
        finally:
            thread.join()
    assert served is not None
    return x509.load_der_x509_certificate(served)


def _serve(context: ssl.SSLContext, end: socket.socket) -> None:
    end.settimeout(_SECONDS)
    with suppress(OSError), context.wrap_socket(end, server_side=True) as connection:  # the client says why
        connection.recv(1)


def server_context(secret: Manifest) -> ssl.SSLContext:
    """OpenSSL takes files only, so the key is on disk for a moment, readable by this user alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="tls-sync-handshake-") as directory:  # mode 0700
        paths = [Path(directory) / key for key in ("tls.crt", "tls.key")]
        for path in paths:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64decode(secret["data"][path.name]))
        context.load_cert_chain(paths[0], paths[1])
    return context
