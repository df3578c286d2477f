"""A database's errors in words for people, and whose fault they are: this input's, or nobody's."""

import sqlite3

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import DBAPIError

from shared.catalog.values import Refused
from shared.errors import LoginRefused, Unreachable

BLAMES_DATA = ("22", "23", "44", "54000")
"""SQLSTATEs, or their beginnings, that blame a value: data exception, integrity, check option, and
a value that is too long for an index. All others would meet any input alike."""

LOGIN = ("28", "3D")
"""The login, or the name of the database: what a person may have written wrongly."""

LOST = "08"
"""The connection itself; mostly said by the driver."""

READ_ONLY = "25006"

NOT_WHOLE = "its tables are not whole; when they are restored, work goes on"

ADVICE = {
    READ_ONLY: "it takes no writes (a standby, or read-only): name the primary, or let it write",
    "28": "check the user and the password in the URL; it is tried again",
    "3D": "make the database, or name another in the URL; it is tried again",
    "3F": NOT_WHOLE,
    "42501": "the user in FACES_DATABASE_URL must own the tables, or be a member of their owner",
    "42P": NOT_WHOLE,
    "42703": NOT_WHOLE,
    "53100": "free space on its disk",
    "53300": "raise its max_connections, or run fewer programs",
    "55P03": "somebody holds a lock: see pg_locks",
    "57014": "raise statement_timeout for this user, or see pg_stat_activity for what it waits for",
}
"""What to do, by SQLSTATE or its beginning; the longest that fits is told."""


def explain(error: BaseException, place: str, *, lost: bool) -> Refused | Unreachable:
    """What is raised for a driver's error, or for SQLAlchemy's around it.

    `lost`: the connection is gone, so whatever it says blames no value.
    """
    if isinstance(error, DBAPIError):
        error = error.orig or error
    what = _line(error)
    if _blames_data(error) and not lost:
        return Refused(f"the catalog refuses the data: {what}")
    state = sqlstate(error)
    advice = _advice(state)
    if state.startswith(LOGIN):
        return LoginRefused(f"FACES_DATABASE_URL: {place} says: {what}{advice}")
    does = "cannot work now" if state and not state.startswith(LOST) else "does not answer"
    return Unreachable(f"the catalog ({place}) {does}: {what}{advice}")


def blame_of_setting(error: BaseException | None) -> str | None:
    """Why FACES_DATABASE_URL can never work: an option's value, or a file of another kind."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.DatabaseError):
        return "this is not a SQLite database" if "not a database" in str(original) else None
    cause = original.__cause__ or original if original is not None else None
    return _line(cause) if isinstance(cause, asyncpg.ClientConfigurationError) else None


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of an error; empty where it has none."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(original, "sqlstate", None) or "")


def _blames_data(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.IntegrityError | sqlite3.DataError)
    # The driver's own, of a value that it cannot encode, has no code.
    return isinstance(error.__cause__, asyncpg.DataError) or sqlstate(error).startswith(BLAMES_DATA)


def _advice(state: str) -> str:
    fits = [code for code in ADVICE if state.startswith(code)]
    return f"; {ADVICE[max(fits, key=len)]}" if fits else ""


def _line(error: BaseException) -> str:
    """The first line of an error, without the class names that drivers put in front."""
    plain = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = (str(error) or plain).splitlines()[0]
    return text.rpartition(">: ")[2][:300]
