"""Counts the private keys that API servers answer with, in proxies that end TLS in front of them.

An audit log can't tell a list of metadata from one with data: only the answers show what was read, those to
writes too. They are looked into and passed on; nothing but the number of keys is kept.
"""

import base64
import http.client
import re
import ssl
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from deployments.sandbox.clusters.pki import Authority

OF_ONE_CONNECTION = ("connection", "content-length", "host", "keep-alive", "transfer-encoding")
"""Headers that say how a body is sent; each side has its own."""

_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}")
"""As the values of a Secret in JSON, in a Table's objects, and in a copy of it in an annotation."""


class KeyCounter:
    """Usable from several threads."""

    def __init__(self) -> None:
        self.keys_by_cluster: Counter[str] = Counter()
        """By the cluster's name in the kubeconfig."""
        self._lock = Lock()

    @property
    def keys_read(self) -> int:
        """All so far; a key that was read twice counts twice."""
        with self._lock:
            return self.keys_by_cluster.total()

    def look_into(self, cluster: str, content: bytes, encoding: str = "") -> None:
        found = keys_in(decoded(content, encoding))
        with self._lock:
            self.keys_by_cluster[cluster] += found


def keys_in(text: bytes) -> int:
    """The number of PEM private keys in an answer, as they are or in base64."""
    values = (base64.b64decode(value[: len(value) // 4 * 4]) for value in _BASE64.findall(text))
    return sum(len(_KEY.findall(piece)) for piece in (text, *values))


def decoded(content: bytes, encoding: str) -> bytes:
    """Raises ValueError for an encoding that can't be looked into, which must not count as no key."""
    if not encoding or encoding == "identity":
        return content
    if encoding != "gzip":
        raise ValueError(f"content encoding {encoding}")
    return zlib.decompress(content, wbits=31)


@contextmanager
def counting_keys(kubeconfig: Path) -> Iterator[KeyCounter]:
    """Lead all clusters of the kubeconfig through proxies, and restore it at the end. It must use tokens."""
    before, counter = kubeconfig.read_text(), KeyCounter()
    document, authority = yaml.safe_load(before), Authority("key counter")
    with TemporaryDirectory() as directory, ExitStack() as running:
        serve = _serving(authority, Path(directory))
        for entry in document["clusters"]:
            url = running.enter_context(_proxy(entry["name"], entry["cluster"], counter, serve))
            authorities = base64.b64encode(authority.pem).decode()
            entry["cluster"] = {"server": url, "certificate-authority-data": authorities}
        kubeconfig.write_text(yaml.safe_dump(document))
        try:
            yield counter
        finally:
            kubeconfig.write_text(before)


def _serving(authority: Authority, directory: Path) -> ssl.SSLContext:
    pair = directory / "pair.pem"
    pair.write_bytes(b"".join(authority.serving()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


@contextmanager
def _proxy(name: str, cluster: dict[str, str], counter: KeyCounter, serve: ssl.SSLContext) -> Iterator[str]:
    """Yield the address of a proxy in front of one cluster."""
    pem = base64.b64decode(cluster["certificate-authority-data"]).decode()
    trust = ssl.create_default_context(cadata=pem)
    handler = type("Handler", (_Handler,), {"server_of": (cluster["server"], trust, name, counter)})
    front = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    front.daemon_threads = True
    front.socket = serve.wrap_socket(front.socket, server_side=True)
    Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        front.socket.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: tuple[str, ssl.SSLContext, str, KeyCounter]

    def setup(self) -> None:
        super().setup()
        url, trust, self.cluster, self.counter = self.server_of
        address = urlsplit(url)
        self.upstream = http.client.HTTPSConnection(str(address.hostname), address.port, context=trust)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def handle(self) -> None:
        with suppress(OSError):  # the client or the server has gone: the other end is closed, too
            super().handle()

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_CONNECTION}
        self.upstream.request(self.command, self.path, body or None, sent)
        answer = self.upstream.getresponse()
        if "watch" in parse_qs(urlsplit(self.path).query):
            self._pass_events(answer)
        else:
            self._pass_whole(answer)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = forward  # noqa: N815  the library's names

    def _pass_whole(self, answer: http.client.HTTPResponse) -> None:
        content = answer.read()
        self.counter.look_into(self.cluster, content, answer.getheader("Content-Encoding", ""))
        self._pass_head(answer, "Content-Length", str(len(content)))
        self.wfile.write(content)

    def _pass_events(self, answer: http.client.HTTPResponse) -> None:
        """Each event of a watch is a line, and is passed on at once."""
        self._pass_head(answer, "Transfer-Encoding", "chunked")
        for line in answer:
            self.counter.look_into(self.cluster, line, answer.getheader("Content-Encoding", ""))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _pass_head(self, answer: http.client.HTTPResponse, name: str, value: str) -> None:
        self.send_response_only(answer.status)
        for header in answer.getheaders():
            if header[0].lower() not in OF_ONE_CONNECTION:
                self.send_header(*header)
        self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """A path names Secrets."""
