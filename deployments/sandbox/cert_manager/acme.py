"""pebble, an ACME server that stands in for Let's Encrypt, and the DNS server of its challenges.

Both listen on loopback. pebble keeps its orders and its CA in memory: after a restart, the CA is another.
"""

import http.client
import json
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from deployments.sandbox import processes
from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.progress import Say

ZONE = "example.org"
"""The DNS zone of all names that can be issued."""
REFUSED = f"refused.{ZONE}"
"""A name that the ACME server refuses to issue."""
DAY = 24 * 60 * 60
PROFILES: Mapping[str, int] = {"default": 90 * DAY, "tlsserver": 45 * DAY, "shortlived": 6 * DAY}
"""Seconds that a certificate of a profile is valid; the names are Let's Encrypt's."""

_START_SECONDS = 30
_SETTINGS = {
    "PEBBLE_VA_NOSLEEP": "1",  # else it waits up to 15 s before it validates
    "PEBBLE_WFE_NONCEREJECT": "0",  # else it refuses 5 % of the requests on purpose
    "PEBBLE_AUTHZREUSE": "100",  # as Let's Encrypt: within 30 days, a name needs no second challenge
}


class Acme:
    """The two servers, started by `with`."""

    def __init__(self, directory: Path, authority: pki.Authority, say: Say) -> None:
        """`authority` signs the server's own certificate, not those that it issues."""
        self._directory, self._authority, self._say = directory / "acme", authority, say
        self.port, self._management_port, dns_port = free_port(), free_port(), free_port()
        self.nameserver = f"127.0.0.1:{dns_port}"
        self._tls = ssl.create_default_context(cadata=authority.pem.decode())
        self._running: dict[str, processes.Process] = {}

    @property
    def directory_url(self) -> str:
        """The URL of the ACME directory, for an issuer."""
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def children(self) -> dict[str, tuple[int, Path]]:
        """Process id and log of each server, by a name for people."""
        return {f"the {what}": (process.pid, self._log(what)) for what, process in self._running.items()}

    def __enter__(self) -> Self:
        self._directory.mkdir(mode=0o700)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        programs = locate("pebble", "dns01", say=self._say)
        config = self._write_files()
        dns: list[str | Path] = [programs["dns01"], f"-address={self.nameserver}", f"-zone={ZONE}"]
        acme: list[str | Path] = [programs["pebble"], f"-config={config}", f"-dnsserver={self.nameserver}"]
        for what, command in (("DNS server", dns), ("ACME server", acme)):
            self._running[what] = processes.spawn(command, self._log(what), self._directory, _SETTINGS)
        self._await()

    def stop(self) -> None:
        while self._running:
            processes.stop(self._running.popitem()[1])

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The ACME server accepts connections meanwhile, and answers nothing before the end."""
        server = self._running["ACME server"]
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)

    def root(self) -> bytes:
        """Return the CA certificate that signs, through an intermediate one, what is issued."""
        return self._get(self._management_port, "/roots/0")

    def _await(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            for what, process in self._running.items():
                if process.poll() is not None or time.monotonic() > deadline:
                    log = self._log(what)
                    raise SandboxError(
                        f"the {what} did not start:\n{processes.tail(log)}\nThe whole log is {log}."
                    )
            try:
                self._get(self.port, "/dir")
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            else:
                return

    def _get(self, port: int, path: str) -> bytes:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=self._tls)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _write_files(self) -> Path:
        key, certificate = self._authority.serving(("127.0.0.1", "localhost"))
        config = self._directory / "pebble.json"
        contents = {"tls.key": key, "tls.crt": certificate, config.name: json.dumps(self._config()).encode()}
        for name, content in contents.items():
            (self._directory / name).write_bytes(content)
        return config

    def _config(self) -> dict[str, Any]:
        return {
            "pebble": {
                "listenAddress": f"127.0.0.1:{self.port}",
                "managementListenAddress": f"127.0.0.1:{self._management_port}",
                "certificate": "tls.crt",
                "privateKey": "tls.key",
                "httpPort": free_port(),
                "tlsPort": free_port(),
                "ocspResponderURL": "",
                "externalAccountBindingRequired": False,
                "domainBlocklist": [REFUSED],
                "retryAfter": {"authz": 1, "order": 1},
                "keyAlgorithm": "ecdsa",
                "profiles": {
                    name: {"description": f"{seconds // DAY} days", "validityPeriod": seconds}
                    for name, seconds in PROFILES.items()
                },
            }
        }

    def _log(self, what: str) -> Path:
        return self._directory / f"{what.lower().replace(' ', '-')}.log"
