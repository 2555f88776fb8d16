"""A real PostgreSQL server for tests, from Debian's package: its own directory and socket, nothing shared."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.faults.orphans import end_with_the_test

USER = "postgres"
DATABASE = "ote"
DEADLINE = 30.0
# As far from bytes as an order can be (dots and dashes count for nothing), where the server can: since 15.
ENCODING = ("--encoding=UTF8", "--locale=C.UTF-8")
ICU = ("--locale-provider=icu", "--icu-locale=en-US-u-ka-shifted")


def binaries() -> Path | None:
    """Where the latest installed server's programs are, if there is one."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


class PostgresServer:
    """One server that listens on a unix socket only. It forgets nothing over stop and start."""

    def __init__(self, *, durable: bool = False) -> None:
        self._bin = binaries()
        self._durable = durable
        # Short, as the path of a socket must be, and where its user may go.
        self.directory = Path(tempfile.mkdtemp(prefix="ote-pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={self.directory}"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def _run(self, program: str, *arguments: str) -> str:
        assert self._bin is not None
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, **_user())
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> Self:
        """Returns when it takes connections."""
        data = self.directory / "data"
        if not data.exists():
            if os.geteuid() == 0:
                shutil.chown(self.directory, USER, USER)
            version = int(self._run("initdb", "--version").split()[2].split(".")[0])
            locale = (*ENCODING, *(ICU if version >= 15 else ()))
            self._run("initdb", "-D", str(data), "-U", USER, "--auth=trust", "--no-sync", *locale)
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.directory), "max_connections": "200"}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str((self._bin or Path()) / "postgres"), "-D", str(data), *options],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_the_test,
                **_user(),
            )
        deadline = time.monotonic() + DEADLINE
        while not self._is_ready():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def _is_ready(self) -> bool:
        file = self.directory / "data" / "postmaster.pid"
        lines = file.read_text().splitlines() if file.exists() else []
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def execute(self, statement: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a connection of its own."""
        import psycopg

        url = self.url.replace(f"/{DATABASE}?", f"/{database}?")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Drops the logs in it."""
        for (name,) in self.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'lives'"):
            self.execute(f'DROP SCHEMA "{name}" CASCADE')

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ends the server and its connections (SIGINT: in order; SIGQUIT: as a crash). Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(DEADLINE)

    def __enter__(self) -> Self:
        self.start()
        self.execute(f"CREATE DATABASE {DATABASE}", "postgres")
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory)


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "env": os.environ | {"HOME": "/"}}
