"""A PostgreSQL server of its own for a test, where Debian's package (or another one) has put its programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOUND = shutil.which("initdb") or next(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
MISSING = "no initdb on this machine: apt install postgresql"


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty database, which is gone afterwards."""
    assert FOUND, MISSING
    folder = Path(tempfile.mkdtemp(prefix="cmbench-postgres-"))
    # It refuses to run as root.
    own = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if own:
        shutil.chown(folder, "postgres", "postgres")

    def call(program: str, *arguments: str) -> None:
        line = [*own, str(Path(FOUND).with_name(program)), "--pgdata", str(folder / "data"), *arguments]
        done = subprocess.run(
            line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call("initdb", "--auth=trust", "--username=cmbench", "--no-sync")
    call("pg_ctl", "start", "--wait", f"--log={folder}/log", f"--options=-p {port} -k {folder} -h 127.0.0.1 -F")
    try:
        yield f"postgresql://cmbench@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "stop", "--wait", "--mode=immediate")
        shutil.rmtree(folder)
