"""A real PostgreSQL, Debian's, on an address that pods reach."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.programs import packages
from deployments.sandbox.progress import say
from deployments.sandbox.work import run
from tests.support.waiting import until

USER = "postgres"
"""The user of Debian's package: PostgreSQL refuses to run as root."""


@dataclass(frozen=True)
class PostgreSQL:
    programs: Path
    address: str
    port: int
    password: str

    @property
    def url(self) -> str:
        """As Prefect's server takes it."""
        return f"postgresql+asyncpg://{USER}:{self.password}@{self.address}:{self.port}/postgres"

    def value(self, query: str) -> str:
        """Return the only value that a query gives, as text; empty while nothing answers."""
        url = self.url.replace("+asyncpg", "")
        options = ["--no-psqlrc", "--tuples-only", "--no-align", f"--command={query}"]
        command = [str(self.programs / "psql"), *options, url]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def postgresql(address: str) -> Iterator[PostgreSQL]:
    """Run an empty one, which asks for a password, with its files in a folder of its own."""
    packages.require_postgresql()
    programs = max(Path("/usr/lib/postgresql").iterdir(), key=lambda folder: float(folder.name)) / "bin"
    found = PostgreSQL(programs, address, free_port(address), secrets.token_hex(16))
    folder = Path(tempfile.mkdtemp(prefix="tls-sync-postgresql-", dir="/tmp"))
    try:
        data, password, log = folder / "data", folder / "password", folder / "log"
        password.write_text(found.password)
        owner = pwd.getpwnam(USER)
        for path in (folder, password):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        as_user: list[str | Path] = [packages.path_of("runuser"), "-u", USER, "--"]
        asking = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"]
        run("creating a database", [*as_user, programs / "initdb", *asking, data], log, say)
        with (data / "pg_hba.conf").open("a") as access:
            access.write("host all all all scram-sha-256\n")
        settings = [
            f"--listen_addresses={address}",
            f"--port={found.port}",
            f"--unix_socket_directories={folder}",
        ]
        server = processes.spawn([*as_user, programs / "postgres", "-D", data, *settings], log, folder)
        try:
            until("PostgreSQL", lambda: found.value("select true"))
            yield found
        finally:
            processes.stop(server, grace=10)
    finally:
        shutil.rmtree(folder)
