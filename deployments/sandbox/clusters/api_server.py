"""One kube-apiserver: a cluster with the whole API; node.py can add a node and controllers."""

import json
import random
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from deployments.sandbox import processes
from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting

# Below Linux's and macOS's range for outgoing connections, so that no outgoing connection takes the
# port while a server is stopped.
_PORTS = range(20_000, 32_000)
_PORT_ATTEMPTS = 5
_SERVICES = IPv4Network("10.0.0.0/24")
_START_SECONDS = 180
_STOP_SECONDS = 15

_AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")


@dataclass(frozen=True)
class Setting:
    """Where a server listens and which clients it has; by default on loopback, without nodes."""

    address: str = "127.0.0.1"
    services: IPv4Network = _SERVICES
    accounts: Mapping[str, str] = field(default_factory=dict)
    """Users that get a token besides the admin, and the group of each."""
    flags: tuple[str, ...] = (
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
        # It waits for ServiceAccounts that only a controller manager creates.
        "--disable-admission-plugins=ServiceAccount",
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names and addresses of the server: on this machine, from pods, and inside its cluster."""
        return tuple(dict.fromkeys((*pki.SERVER_NAMES, self.address, str(self.services[1]))))


LOOPBACK = Setting()


class ApiServer:
    """A server that is stopped until `start`, and keeps port and data when it is restarted."""

    admin: Admin

    def __init__(  # noqa: PLR0913, PLR0917 (one caller)
        self,
        name: str,
        directory: Path,
        program: Path,
        authority: pki.Authority,
        say: Say,
        setting: Setting = LOOPBACK,
        *,
        etcd: str,
    ) -> None:
        self.name = name
        self.setting = setting
        self.directory = directory / name
        self.log = self.directory / "kube-apiserver.log"
        self.ca_pem = authority.pem
        self.admin_token = secrets.token_urlsafe(32)
        self.tokens = {user: secrets.token_urlsafe(32) for user in setting.accounts}
        self._program = program
        self._say = say
        self._etcd = etcd
        self._port: int | None = None
        self._ports_left = _PORT_ATTEMPTS
        self.process: processes.Process | None = None
        self._write_files(authority)

    @property
    def url(self) -> str:
        return f"https://{self.setting.address}:{self._port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise SandboxError(f"the API server of {self.name} is not running")
        return self.process.pid

    def audit(self) -> list[dict[str, Any]]:
        """Return all requests so far, the oldest first, without an incomplete line."""
        return audit_entries((self.directory / "audit.log").read_text())

    def start(self) -> None:
        self.launch()
        wait_until_ready([self], self._say)

    def stop(self, grace: float = _STOP_SECONDS) -> None:
        """Stop within that many seconds; with 0, as in a crash."""
        if self.process is not None:
            processes.stop(self.process, grace)
            self.process = None
            self.admin.reconnect()

    def launch(self) -> None:
        """Start without waiting, so that several servers can start concurrently."""
        if self.process is not None and self.process.poll() is None:
            raise SandboxError(f"the API server of {self.name} is already running")
        if self._port is None:
            self._choose_port()
        self.admin.reconnect()
        self.log.unlink(missing_ok=True)
        # The working directory is where etcd's sockets are: see etcd.py.
        self.process = processes.spawn([self._program, *self._flags()], self.log, self.directory.parent)

    def is_ready(self) -> bool:
        """Return False while it is starting. Raises SandboxError if it has died."""
        if self.process is not None and self.process.poll() is None:
            ready = self.admin.is_ready()
            if ready:
                self._ports_left = 0  # clients use this port now
            return ready
        self.process = None
        end = processes.tail(self.log)
        if "address already in use" not in end or not self._ports_left:
            raise SandboxError(
                f"the API server of {self.name} stopped at its start:\n{end}\nThe whole log is {self.log}."
            )
        self._choose_port()
        self.launch()
        return False

    def _choose_port(self) -> None:
        """Choose a free port, anew if something else takes it before the server binds it."""
        self._ports_left -= 1
        self._port = free_port(self.setting.address)
        self.admin = Admin(self.setting.address, self._port, self.ca_pem, self.admin_token)

    def _write_files(self, authority: pki.Authority) -> None:
        self.directory.mkdir(mode=0o700)
        key, certificate = authority.serving(self.setting.names)
        # Each cluster signs its tokens with its own key, so that no other accepts them.
        token_key = pki.new_key()
        contents = {
            "tls.key": key,
            "tls.crt": certificate,
            "ca.crt": self.ca_pem,
            "service-account.key": pki.key_pem(token_key),
            "service-account.pub": pki.public_pem(token_key),
            "tokens.csv": self._accounts().encode(),
            "audit.log": b"",
        }
        for name, content in contents.items():
            (self.directory / name).write_bytes(content)

    def _accounts(self) -> str:
        rows = [(self.admin_token, "sandbox-admin", "system:masters")]
        rows += [(self.tokens[user], user, group) for user, group in self.setting.accounts.items()]
        return "".join(
            f'{token},{user},{number},"{group}"\n' for number, (token, user, group) in enumerate(rows)
        )

    def _flags(self) -> list[str]:
        here = self.directory
        return [
            f"--etcd-servers={self._etcd}",
            f"--etcd-prefix=/{self.name}",
            f"--bind-address={self.setting.address}",
            f"--advertise-address={self.setting.address}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={here}/tls.crt",
            f"--tls-private-key-file={here}/tls.key",
            f"--service-cluster-ip-range={self.setting.services}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={here}/service-account.pub",
            f"--service-account-signing-key-file={here}/service-account.key",
            f"--client-ca-file={here}/ca.crt",
            f"--token-auth-file={here}/tokens.csv",
            f"--audit-policy-file={_AUDIT_POLICY}",
            f"--audit-log-path={here}/audit.log",
            "--profiling=false",
            *self.setting.flags,
        ]


def wait_until_ready(servers: list[ApiServer], say: Say) -> None:
    waiting = Waiting(f"starting {len(servers)} API server(s)", say)
    pending = servers
    while pending := [server for server in pending if not server.is_ready()]:
        if waiting.seconds > _START_SECONDS:
            server = pending[0]
            raise SandboxError(
                f"the API server of {server.name} isn't ready after {_START_SECONDS} s:\n"
                f"{processes.tail(server.log)}\nThe whole log is {server.log}."
            )
        waiting.tick()
        time.sleep(0.1)
    say(f"{', '.join(server.name for server in servers)} ready after {waiting.seconds} s")


def free_port(address: str = "127.0.0.1") -> int:
    while True:
        port = random.choice(_PORTS)  # noqa: S311 (no secret)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port


def audit_entries(log: str) -> list[dict[str, Any]]:
    """Return the entries of an audit log; the username of an unauthenticated request is empty."""
    found = [json.loads(line) for line in log.splitlines(keepends=True) if line.endswith("\n")]
    for entry in found:
        entry["user"].setdefault("username", "")
    return found
