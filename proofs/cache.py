"""Answers of solvers, and findings (:mod:`.findings`), kept from run to run.

One SQLite file, which several processes may use at once and which a process that is killed leaves
sound.  An entry is found by a hash of all that an answer depends on: the script (but for what it is
called), the solver with its version, and the bound on its work.  Only definite answers are kept; each
has a checksum, so that what a broken disk gives back is noticed and not believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TypeVar, get_args

from mapproof.model.language.errors import DesignError
from mapproof.model.language.solver import Answer, Outcome

from .worker import RECHECK, Pool

T = TypeVar("T")

FILE = "proofs-1.sqlite"  # the number changes with the meaning of the entries
BUSY = 5.0  # seconds to wait for another process
DEFINITE = ("sat", "unsat")
_PACKAGES = {"z3": "z3-solver", "cvc5": "cvc5"}
_TABLES = (
    """create table if not exists answers (
    key text primary key, answer text not null, core text not null, solver text not null,
    checksum text not null) without rowid""",
    """create table if not exists findings (
    key text primary key, finding text not null, checksum text not null) without rowid""",
)


class Mode(StrEnum):
    """How a run uses the cache."""

    ON = "on"
    READ_ONLY = "read-only"
    VERIFY = "verify"
    """Everything is solved again and compared with what is stored."""
    OFF = "off"


class Mismatch(DesignError):
    """A solver does not answer what the cache says that it answered."""


class _Corrupt(Exception):
    """An entry is not what was written."""


def default_folder() -> Path:
    """Where the user's caches are, by the XDG base directory specification."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".cache"
    return base / "mapproof"


@cache
def _version(solver: str) -> str:
    return version(_PACKAGES[solver])


def without_comments(text: str) -> str:
    """A script without the lines at its head that say which cell it is: an answer does not depend on
    them, and cells of different designs may be the same question."""
    while text.startswith(";"):
        text = text.partition("\n")[2]
    return text


def key_of(solver: str, text: str, effort: int) -> str:
    """The name of an entry."""
    whole = json.dumps([solver, _version(solver), effort, without_comments(text)])
    return hashlib.sha256(whole.encode()).hexdigest()


class Cache:
    """The answers in one folder.

    Whatever is wrong with it, the answers are those of the solvers; ``complaint`` says what was
    wrong, in a sentence for the user, or is empty.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / FILE
        self.read_only = read_only
        self.complaint = ""
        self._lock = Lock()
        self._db: sqlite3.Connection | None = None
        with self._lock:
            self._open()

    def get(self, key: str) -> Outcome | None:
        """The stored answer, if there is one."""
        columns = "answer, core, solver, checksum from answers"
        return self._row(key, columns, lambda row: _outcome(key, row))

    def finding(self, key: str) -> str | None:
        """The text that was kept of a check, if there is one."""
        return self._row(key, "finding, checksum from findings", lambda row: _finding(key, row))

    def _row(self, key: str, columns: str, read: Callable[[tuple[object, ...]], T]) -> T | None:
        with self._lock:
            if self._db is None:
                return None
            try:
                row = self._db.execute(f"select {columns} where key = ?", (key,)).fetchone()
                return None if row is None else read(row)
            except sqlite3.OperationalError as error:  # locked, no table yet, no such disk
                self._complain_unless_busy(error)
            except (sqlite3.DatabaseError, _Corrupt) as error:
                self._set_aside(error)
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an answer, if it is a definite one."""
        if outcome.answer not in DEFINITE or self.read_only:
            return
        self._keep("answers", key, outcome.answer, json.dumps(outcome.core), outcome.solver)

    def put_finding(self, key: str, text: str) -> None:
        """Keep the text of what a check found."""
        if not self.read_only:
            self._keep("findings", key, text)

    def _keep(self, table: str, key: str, *values: str) -> None:
        row = (key, *values, _checksum(key, *values))
        with self._lock:
            if self._db is None:
                return
            try:
                marks = ", ".join("?" * len(row))
                self._db.execute(f"insert or replace into {table} values ({marks})", row)
            except sqlite3.OperationalError as error:
                self._complain_unless_busy(error)
            except sqlite3.DatabaseError as error:
                self._set_aside(error)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._close()

    def _open(self, again: bool = False) -> None:
        try:
            self._db = self._connection()
        except sqlite3.OperationalError as error:
            if not (self.read_only and not self.path.exists()):
                self.complaint = self.complaint or (
                    f"going on without the cache, {self.path} cannot be used: {error}"
                )
        except sqlite3.DatabaseError as error:
            if not again:
                self._set_aside(error)
        except OSError as error:
            self.complaint = (
                f"going on without the cache, {self.path.parent} cannot be made: {error.strerror}"
            )

    def _connection(self) -> sqlite3.Connection:
        if not self.read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return self._connected(str(self.path), "pragma journal_mode = wal", *_TABLES)
        look = "select count(*) from sqlite_master"
        uri = self.path.absolute().as_uri()
        try:
            return self._connected(f"{uri}?mode=ro", look)
        except sqlite3.OperationalError:  # a folder in which nothing may be written
            return self._connected(f"{uri}?mode=ro&immutable=1", look)

    def _connected(self, name: str, *first: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            name,
            timeout=BUSY,
            isolation_level=None,
            check_same_thread=False,
            uri=name.startswith("file:"),
        )
        try:
            db.execute("pragma synchronous = normal")
            for statement in first:
                db.execute(statement)
        except BaseException:
            db.close()
            raise
        return db

    def _complain_unless_busy(self, error: sqlite3.OperationalError) -> None:
        if "locked" not in str(error) and "no such table" not in str(error):
            self.complaint = f"going on without the cache, {self.path}: {error}"
            self._close()

    def _set_aside(self, error: Exception) -> None:
        """Begin anew; the broken file is kept for whoever wants to know."""
        self._close()
        if self.read_only:
            self.complaint = f"going on without the cache, {self.path} is corrupt: {error}"
            return
        aside = self.path.with_name(f"{FILE}.corrupt")
        with suppress(OSError):
            os.replace(self.path, aside)
            for suffix in ("-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.complaint = f"the cache {self.path} was corrupt ({error}): it is now {aside.name}"
        self._open(again=True)

    def _close(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _checksum(*values: str) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _finding(key: str, row: tuple[object, ...]) -> str:
    text, checksum = map(str, row)
    if checksum != _checksum(key, text):
        raise _Corrupt("a finding does not have its checksum")
    return text


def _outcome(key: str, row: tuple[object, ...]) -> Outcome:
    answer, core, solver, checksum = map(str, row)
    if checksum != _checksum(key, answer, core, solver) or answer not in get_args(Answer):
        raise _Corrupt("an entry does not have its checksum")
    return Outcome("sat" if answer == "sat" else "unsat", tuple(json.loads(core)), "", solver)


class CachedPool:
    """Solvers whose answers are looked up first, and kept."""

    def __init__(self, pool: Pool, kept: Cache, mode: Mode) -> None:
        self.pool = pool
        self.kept = kept
        self.mode = mode
        self.hits = 0
        self._inner: dict[int, Future[Outcome]] = {}

    def submit(
        self, solver: str, text: str, deadline: float, effort: int = 0, rank: int = RECHECK
    ) -> Future[Outcome]:
        """As of a Pool; under ``verify`` the result raises Mismatch where the cache differs."""
        key = key_of(solver, text, effort)
        stored = self.kept.get(key)
        outer: Future[Outcome] = Future()
        if stored is not None and self.mode is not Mode.VERIFY:
            self.hits += 1
            outer.set_result(stored)
            return outer
        inner = self.pool.submit(solver, text, deadline, effort, rank)
        self._inner[id(outer)] = inner
        name = text.partition("\n")[0].removeprefix("; ")

        def done(future: Future[Outcome]) -> None:
            if future.cancelled():
                outer.cancel()
            elif error := future.exception():
                outer.set_exception(error)
            elif wrong := self._difference(name, key, stored, future.result()):
                outer.set_exception(wrong)
            else:
                if stored is None:
                    self.kept.put(key, future.result())
                outer.set_result(future.result())

        inner.add_done_callback(done)
        return outer

    def drop(self, futures: Iterable[Future[Outcome]]) -> None:
        """As of a Pool."""
        self.pool.drop([self._inner[id(f)] for f in futures if id(f) in self._inner])

    def _difference(
        self, name: str, key: str, stored: Outcome | None, found: Outcome
    ) -> Mismatch | None:
        if stored is None or found.answer not in DEFINITE:
            return None
        if (stored.answer, stored.core) == (found.answer, found.core):
            return None
        return Mismatch(
            f"the cache is wrong about {name}: it says {stored.answer}, {found.solver} answers "
            f"{found.answer} (entry {key[:16]} of {self.kept.path})"
        )
