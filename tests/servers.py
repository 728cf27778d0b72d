"""A PostgreSQL server of the tests' own, which they may stop, start and cut off."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

PASSWORD = "open-sesame-4711"
"""Must be in no output."""


def postgresql_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path and (Path(on_path).parent / "pg_ctl").exists():
        found = [Path(on_path)]
    return found[-1].parent if found else None


class Server:
    """A cluster in a folder, on a port of its own."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """Make it; it does not run yet."""
        self._folder, self._programs, self._databases = folder, programs, 0
        # PostgreSQL refuses to run as root
        self._as = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        if self._as:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-U", "nas", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nfsync = off\n")
            settings.write(f"unix_socket_directories = '{folder}'\n")

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, **self._as)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Let it run, and wait until it answers."""
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """Stop it at once: connections are cut."""
        self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://nas:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database, and return its URL."""
        self._databases += 1
        name = f"study_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def cut(self, url: str, *, most: int) -> int:
        """Cut connections to a database, and return how many."""
        name = sa.make_url(url).database
        which = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' ORDER BY random() LIMIT {most}"
        return self.execute(f"SELECT pg_terminate_backend(pid) FROM ({which}) AS found")

    def execute(self, statement: str) -> int:
        """Execute a statement of its administrator, and return the number of rows."""
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            return connection.execute(sa.text(statement)).rowcount


@contextmanager
def running_server(programs: Path) -> Iterator[Server]:
    """Give a server that runs, and take it away again."""
    folder = Path(tempfile.mkdtemp(prefix="nas-postgresql-"))
    server = Server(folder, programs)
    server.start()
    try:
        yield server
    finally:
        server._run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
