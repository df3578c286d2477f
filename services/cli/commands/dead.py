"""`faces dead list|show|retry|drop`: what was given up, and what becomes of it."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.deployment import Deployment, Place, deployment
from services.cli.options.common import AsJson, DatabaseUrl, Out, RedisUrl
from services.cli.talk import say
from shared.errors import FacesError
from shared.printing import count, printable

if TYPE_CHECKING:
    from shared.streams.dead import DeadLetter, DeadLetters

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: what was given up, after how many attempts and why."
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids that `list` shows.")]
Reason = Annotated[
    str,
    typer.Option(
        metavar="CODE",
        help="Only those with this code, such as `timeout`, or with this text in their reason.",
    ),
]
OlderThan = Annotated[
    str,
    typer.Option(metavar="AGE", help="Only those given up longer ago: `90s`, `10m`, `2h`, `3d`."),
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@app.command("list")
def list_letters(
    reason: Reason = "",
    older_than: OlderThan = "",
    as_json: AsJson = False,
    redis: RedisUrl = None,
    out: Out = None,
) -> None:
    """List dead letters, and how many there are with each code and reason.

    Example: `faces dead list --reason memory`
    """
    asyncio.run(_list(_Choice((), reason, older_than), as_json, Place(out=out, redis=redis)))


@app.command("show")
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="An id that `list` shows.")],
    redis: RedisUrl = None,
    out: Out = None,
) -> None:
    """Show one dead letter: what it is about, and every attempt at it.

    Example: `faces dead show 1763870000000-0`
    """
    asyncio.run(_show(letter, Place(out=out, redis=redis)))


@app.command("retry")
def retry(
    ids: Ids = None,
    reason: Reason = "",
    older_than: OlderThan = "",
    all_: All = False,
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    out: Out = None,
) -> None:
    """Put dead letters back at the end of their streams, with all their attempts before them.

    Example: `faces dead retry --reason timeout`
    """
    choice = _Choice.of(ids, reason, older_than, all_)
    asyncio.run(_retry(choice, Place(out=out, redis=redis, database=database)))


@app.command("drop")
def drop(
    ids: Ids = None,
    reason: Reason = "",
    older_than: OlderThan = "",
    all_: All = False,
    redis: RedisUrl = None,
    out: Out = None,
) -> None:
    """Delete dead letters and the pictures that they kept. Their rows stay as failed.

    Example: `faces dead drop --older-than 30d`
    """
    choice = _Choice.of(ids, reason, older_than, all_)
    asyncio.run(_drop(choice, Place(out=out, redis=redis)))


@dataclass(frozen=True)
class _Choice:
    """Which dead letters are meant: those of `ids`, else those that fit the rest."""

    ids: Sequence[str]
    reason: str
    older_than: str

    @classmethod
    def of(cls, ids: list[str] | None, reason: str, older_than: str, all_: bool) -> "_Choice":
        """As given to a command that changes something: nothing given is not everything."""
        if not (ids or reason or older_than or all_):
            raise FacesError("which ones? Give ids, --reason, --older-than or --all")
        return cls(ids or (), reason, older_than)

    async def among(self, letters: "DeadLetters") -> AsyncIterator["DeadLetter"]:
        """The letters that are meant, oldest first; where none is, says which reasons there are."""
        for one in self.ids:
            yield await letters.find(one)
        if self.ids:
            return
        found = False
        async for letter in letters.all(self.reason, _moment(self.older_than)):
            found = True
            yield letter
        if self.reason and not found:
            await _say_reasons(letters, self.reason)


async def _say_reasons(letters: "DeadLetters", reason: str) -> None:
    """What could have been asked for, the most frequent first."""
    codes = await letters.codes()
    there = ", ".join(f"{code} ({number:,})" for code, number in codes.most_common())
    say(f"no dead letter fits --reason {reason!r}; there are: {there or 'none'}")


def _moment(age: str) -> datetime | None:
    from shared.messages import now

    if not age:
        return None
    found = re.fullmatch(r"(\d+)([smhd])", age)
    if found is None:
        raise FacesError(f"--older-than {age!r}: write a number and s, m, h or d, such as 2h")
    return now() - timedelta(**{UNITS[found[2]]: int(found[1])})


async def _letters(opened: Deployment) -> "DeadLetters":
    from shared.streams.dead import DeadLetters

    return DeadLetters(await opened.redis(), opened.settings)


async def _list(choice: _Choice, as_json: bool, place: Place) -> None:
    codes: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    async with deployment(place) as opened:
        async for letter in choice.among(await _letters(opened)):
            codes[letter.code.value] += 1
            reasons[letter.code.value, letter.reason] += 1
            if as_json:
                print(json.dumps(_as_dict(letter)))
                continue
            print(
                f"{letter.id}  {printable(letter.stream):<8} {printable(letter.name)}\n"
                f"    {letter.code.value}: {printable(letter.reason)}{_gone(letter)}"
            )
    if as_json:
        return
    print("" if codes else "no dead letters")
    for code, number in codes.most_common():
        print(f"{number:>7,}  {code}")
        for (of, why), times in reasons.most_common():
            if of == code:
                print(f"{times:>11,}  {printable(why)}")


async def _show(identity: str, place: Place) -> None:
    async with deployment(place) as opened:
        letter = await (await _letters(opened)).find(identity)
    for what, value in (
        ("id", letter.id),
        ("about", letter.name),
        ("stream", letter.stream),
        ("died", f"{letter.died_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("code", letter.code.value),
        ("reason", letter.reason + _gone(letter)),
        ("message", letter.encoded.decode("utf-8", "backslashreplace")),
    ):
        print(f"{what + ':':<9}{printable(value)}")
    for n, attempt in enumerate(letter.history, 1):
        told = f"{attempt.at}  {attempt.consumer}  {attempt.reason}"
        print(f"attempt {n}: {printable(told)}")


async def _retry(choice: _Choice, place: Place) -> None:
    from shared.reasons import Reason
    from shared.verbs.retry import Retried, retry

    told = {
        Retried.UNREADABLE: "no message that can be read; left where it is",
        Retried.NO_ROW: "the catalog has no row of it any more; left where it is",
        Retried.BYTES_GONE: "its bytes are gone; left where it is: submit it again from its source",
    }
    done: Counter[Retried] = Counter()
    unasked = 0
    async with deployment(place) as opened:
        letters, catalog = await _letters(opened), await opened.catalog()
        async for letter in choice.among(letters):
            became = await retry(letter, letters, catalog)
            done[became] += 1
            unasked += became is Retried.RETRIED and letter.code is Reason.NOT_ASKED_FOR
            if became in told:
                say(f"{letter.id}: {told[became]}")
    if unasked:
        say(
            f"{count(unasked, 'result')} that no row asked for: a writer takes them only with "
            "FACES_TAKE_UNKNOWN_RESULTS=true"
        )
    number = done[Retried.RETRIED]
    again = "; the same `faces run` as before searches them" if place.out and number else ""
    print(f"{number:,} put back{again}")


async def _drop(choice: _Choice, place: Place) -> None:
    dropped = 0
    async with deployment(place) as opened:
        letters = await _letters(opened)
        async for letter in choice.among(letters):
            dropped += await letters.drop(letter)
    print(f"{dropped:,} dropped")


def _gone(letter: "DeadLetter") -> str:
    """What is said of a letter that made room for newer ones."""
    return "; its bytes are gone" if letter.bytes_gone else ""


def _as_dict(letter: "DeadLetter") -> dict[str, object]:
    return {
        "id": letter.id,
        "stream": letter.stream,
        "name": letter.name,
        "died_at": letter.died_at.isoformat(),
        "reason": letter.reason,
        "code": letter.code.value,
        "bytes_gone": letter.bytes_gone,
        "history": [asdict(attempt) for attempt in letter.history],
    }
