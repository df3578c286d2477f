"""`faces dead list|show|retry|drop`: what was given up, and what becomes of it."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import AsJson, DatabaseUrl, Out, RedisUrl
from shared.errors import FacesError

if TYPE_CHECKING:
    from shared.catalog import Catalog
    from shared.messages import Message
    from shared.streams.dead import DeadLetter, DeadLetters

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: what was given up, after how many attempts and why."
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids that `list` shows.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Those whose reason has this in it.")]
OlderThan = Annotated[
    str, typer.Option(metavar="AGE", help="Those that died longer ago: `90s`, `10m`, `2h`, `3d`.")
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
    """List dead letters, and how many there are of each reason.

    Example: `faces dead list --reason memory`
    """
    asyncio.run(_list(_Choice((), reason, older_than, True), as_json, redis, out))


@app.command("show")
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="An id that `list` shows.")],
    redis: RedisUrl = None,
    out: Out = None,
) -> None:
    """Show one dead letter: what it is about, and every attempt at it.

    Example: `faces dead show 1763870000000-0`
    """
    asyncio.run(_show(letter, redis, out))


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
    asyncio.run(_retry(_Choice.of(ids, reason, older_than, all_), redis, database, out))


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
    asyncio.run(_drop(_Choice.of(ids, reason, older_than, all_), redis, out))


@dataclass(frozen=True)
class _Choice:
    """Which dead letters are meant."""

    ids: Sequence[str]
    reason: str
    older_than: str
    everything: bool

    @classmethod
    def of(cls, ids: list[str] | None, reason: str, older_than: str, everything: bool) -> "_Choice":
        """As given to a command that changes something: nothing given is not everything."""
        if not (ids or reason or older_than or everything):
            raise FacesError("which ones? Give ids, --reason, --older-than or --all")
        return cls(ids or (), reason, older_than, everything)

    async def among(self, letters: "DeadLetters") -> AsyncIterator["DeadLetter"]:
        if self.ids:
            for one in self.ids:
                yield await letters.find(one)
            return
        async for letter in letters.all(self.reason, _moment(self.older_than)):
            yield letter


def _moment(age: str) -> datetime | None:
    from shared.messages import now

    if not age:
        return None
    found = re.fullmatch(r"(\d+)([smhd])", age)
    if found is None:
        raise FacesError(f"--older-than {age!r}: write a number and s, m, h or d, such as 2h")
    return now() - timedelta(**{UNITS[found[2]]: int(found[1])})


async def _list(choice: _Choice, as_json: bool, redis: str | None, out: Path | None) -> None:
    from collections import Counter

    from shared.printing import printable

    reasons: Counter[str] = Counter()
    async with _letters(redis, out) as letters:
        async for letter in choice.among(letters):
            reasons[letter.reason] += 1
            if as_json:
                print(json.dumps(_as_dict(letter)))
                continue
            name = printable(letter.name)
            print(
                f"{letter.id}  {printable(letter.stream):<8} {name}\n    {printable(letter.reason)}"
            )
    if not as_json:
        print("no dead letters" if not reasons else "")
        for why, count in reasons.most_common():
            print(f"{count:>7,}  {printable(why)}")


async def _show(identity: str, redis: str | None, out: Path | None) -> None:
    from shared.printing import printable

    async with _letters(redis, out) as letters:
        letter = await letters.find(identity)
    for what, value in (
        ("id", letter.id),
        ("about", letter.name),
        ("stream", letter.stream),
        ("died", f"{letter.died_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("reason", letter.reason),
        ("message", letter.encoded.decode("utf-8", "backslashreplace")),
    ):
        print(f"{what + ':':<9}{printable(value)}")
    for n, attempt in enumerate(letter.history, 1):
        told = f"{attempt.at}  {attempt.consumer}  {attempt.reason}"
        print(f"attempt {n}: {printable(told)}")


async def _retry(
    choice: _Choice, redis: str | None, database: str | None, out: Path | None
) -> None:
    from services.cli.places import catalog_url
    from shared.catalog import Catalog

    retried = 0
    async with AsyncExitStack() as opened:
        letters = await opened.enter_async_context(_letters(redis, out))
        catalog = await Catalog.open(catalog_url(out, database))
        opened.push_async_callback(catalog.close)
        async for letter in choice.among(letters):
            message = await _renewed(letter, catalog)
            if message is not None and await letters.retry(letter, message) == "retried":
                retried += 1
    again = "; the same `faces run` as before does them" if out is not None and retried else ""
    print(f"{retried:,} put back{again}")


async def _renewed(letter: "DeadLetter", catalog: "Catalog") -> "Message | None":
    """The letter's message, under the generation that its row has from now on."""
    from shared.messages import ImageMessage, ResultMessage

    message = letter.message
    if message is None:
        print(f"{letter.id}: no message that can be read; left where it is", file=sys.stderr)
        return None
    if not isinstance(message, ImageMessage | ResultMessage):
        return message
    generation = await catalog.curator.revive(message.id, message.recipe.id)
    if generation is None:
        print(f"{letter.id}: the catalog has no row of it any more; left", file=sys.stderr)
        return None
    return message.model_copy(update={"generation": generation})


async def _drop(choice: _Choice, redis: str | None, out: Path | None) -> None:
    dropped = 0
    async with _letters(redis, out) as letters:
        async for letter in choice.among(letters):
            dropped += await letters.drop(letter)
    print(f"{dropped:,} dropped")


@asynccontextmanager
async def _letters(redis: str | None, out: Path | None) -> AsyncIterator["DeadLetters"]:
    """The dead letters of a deployment, or those that runs left in OUT."""
    from redis.exceptions import RedisError

    from services.cli.local.server import server_of
    from services.cli.options import load_settings
    from shared.errors import Unreachable
    from shared.streams.client import connect, describe
    from shared.streams.dead import DeadLetters

    async with AsyncExitStack() as opened:
        url = await opened.enter_async_context(server_of(out)) if out and not redis else redis
        settings = load_settings(redis_url=url)
        client = connect(settings.redis_url)
        opened.push_async_callback(client.aclose)
        try:
            yield DeadLetters(client, settings)
        except RedisError as error:
            raise Unreachable(describe(error)) from None


def _as_dict(letter: "DeadLetter") -> dict[str, object]:
    return {
        "id": letter.id,
        "stream": letter.stream,
        "name": letter.name,
        "died_at": letter.died_at.isoformat(),
        "reason": letter.reason,
        "history": [asdict(attempt) for attempt in letter.history],
    }
