"""Where a sweep's studies are kept: SQLite on one machine, PostgreSQL for several; and the one lock over each."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from cmbench.errors import UserError
from cmbench.experiments.locked import locked

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

HEARTBEAT = 20
"""Seconds between two signs of life of a running trial, where the command line says nothing."""
_GRACE = 3
"""Heartbeats without a sign of life after which a trial's worker counts as dead."""
_BUSY = 60
"""Seconds that SQLite waits for another process that writes."""
_KEY = int.from_bytes(hashlib.sha256(b"cmbench sweep").digest()[:8], "big", signed=True)
"""Of the advisory lock in PostgreSQL, one for a database."""


@dataclass(frozen=True)
class Storage:
    """Optuna's storage, and a lock: who holds it is alone in looking at trials and taking one.

    The lock ends with the process that holds it, however that ends. Training goes on without it.
    """

    rdb: RDBStorage
    lock: Callable[[], AbstractContextManager[None]]

    @contextmanager
    def alive(self, trial_id: int) -> Iterator[None]:
        """Gives signs of life of a running trial while the block runs."""
        stop = Event()
        thread = Thread(target=self._signs_of_life, args=(trial_id, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _signs_of_life(self, trial_id: int, stop: Event) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        while not stop.wait(self.rdb.get_heartbeat_interval()):
            try:
                self.rdb.record_heartbeat(trial_id)
            except (SQLAlchemyError, _storage_error()):
                continue  # the database is away: the next sign may reach it
        self.rdb.remove_session()


def _storage_error() -> type[Exception]:
    from optuna.exceptions import StorageInternalError

    return StorageInternalError


def open_storage(url: str | None, out: Path, suite: str, heartbeat: int = HEARTBEAT) -> Storage:
    """The storage at `url`, by default the file `OUT/SUITE/sweep.db`.

    Raises `UserError` where it cannot be used, or Optuna is not installed.
    """
    check_installed()
    if url is None:
        file = out / suite / "sweep.db"
    elif url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
    elif url.startswith(("postgresql://", "postgresql+psycopg://")):
        return _postgresql(url, heartbeat)
    else:
        raise UserError(f"--storage {_public(url)}: accepted: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE")
    return _sqlite(file, heartbeat)


def check_installed() -> None:
    """Raises `UserError` where Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError('a sweep needs Optuna, which is not installed: pip install "cmbench[sweep]"') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _sqlite(file: Path, heartbeat: int) -> Storage:
    lock = partial(locked, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with lock():
            rdb = _opened(f"sqlite:///{file}", heartbeat, {"connect_args": {"timeout": _BUSY}})
    except OSError as error:
        raise UserError(f"{file}: cannot be written (--storage): {error.strerror}") from None
    return Storage(rdb, lock)


def _postgresql(url: str, heartbeat: int) -> Storage:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        locks = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    except ImportError:
        raise UserError('--storage: PostgreSQL needs psycopg: pip install "cmbench[sweep]"') from None
    except (ArgumentError, ValueError) as error:
        raise UserError(f"--storage {_public(url)}: no address of a database: {error}") from None

    @contextmanager
    def lock() -> Iterator[None]:
        with locks.connect() as connection:  # it ends with the connection
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _KEY})
            yield

    with _reachable(url), lock():
        rdb = _opened(url, heartbeat, {"pool_pre_ping": True})
    return Storage(rdb, lock)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except OperationalError as error:
        raise UserError(f"--storage {_public(url)}: {str(error.orig).splitlines()[0]}") from None


def _opened(url: str, heartbeat: int, engine: dict[str, object]) -> RDBStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats are experimental
            return RDBStorage(url, engine, heartbeat_interval=heartbeat, grace_period=_GRACE * heartbeat)
    except OperationalError:
        if url.startswith("postgresql"):
            raise
        raise UserError(f"{url}: cannot be opened (--storage)") from None
    except (DatabaseError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"--storage {_public(url)}: not a storage of Optuna's: {first}") from None


def _public(url: str) -> str:
    """`url` without its password."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}{at}{place}"
