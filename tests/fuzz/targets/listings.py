"""Listings of a bucket whose server lies, walked as ingest walks them: each walk has an end.

The XML is S3's ListObjectsV2, read by obstore; GCS and Azure are read by the same parser. The
server gives its pages in their order, whatever it is asked for.
"""

import json
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from unittest import mock
from xml.sax.saxutils import escape

from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.source import Listing, SourceAway, SourceRefused
from shared.messages import ImageMessage, SourceMessage
from tests.fuzz.target import Answer, Target, Try
from tests.support.s3_stub import S3Stub, s3_stub
from tests.support.stages import source_at

REQUESTS_LIMIT = 200
"""More than any walk needs: at most 40 keys are listed, each of which may be a bad one."""

DATE = "2026-01-01T00:00:00.000Z"
_DATES = (
    *("", "yesterday", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z", "2026-01-01", "-1"),
    *("99999999999-01-01T00:00:00Z", "2026-13-45T99:99:99.000Z", "0001-01-01T00:00:00Z", "1e400"),
)
_SIZES = ("", "-1", "0", "1.5", "9" * 30, str(2**63 - 1), str(2**64 - 1), "0x10", "many", "1e400")
_KEYS = (
    *("", "/", "in/", "in//a.jpg", "in/../b.jpg", "in/./c.jpg", "../d.jpg", "in/\x01.jpg"),
    *("in/" + "k" * 1100 + ".jpg", "in/" + "é" * 9000 + ".jpg", "in/a\nb.jpg", "other/e.jpg"),
    *("in/\x7f/f.jpg", "in/😀.jpg", "in/%2e%2e/g.jpg", "in/\\..\\h.jpg", "in/ .jpg", "in/.jpg"),
    *("in", "inside/i.jpg", "in/" + "/".join("a" * 500) + ".jpg", "in/\ufffe.jpg", "in/\u202e.jpg"),
)


def _contents(key: str, size: str = "7", date: str = DATE, tag: str = '"1"') -> str:
    shown = "".join(one if ord(one) >= 32 else f"&#{ord(one)};" for one in escape(key))
    return (
        f"<Contents><Key>{shown}</Key><Size>{escape(size)}</Size><ETag>{escape(tag)}</ETag>"
        f"<LastModified>{escape(date)}</LastModified></Contents>"
    )


def _page(contents: str, token: str | None, truncated: str) -> str:
    following = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    return (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{following}{contents}"
        "</ListBucketResult>"
    )


def _keys(chance: random.Random) -> Iterator[str]:
    """Usual ones, in order."""
    number = chance.randrange(10)
    for _ in range(chance.randint(0, 10)):
        number += chance.randint(1, 9)
        yield f"in/{number:03}.{chance.choice(('jpg', 'jpg', 'txt'))}"


def _pages(chance: random.Random, one: Callable[[str], str]) -> list[str]:
    pages = ["".join(map(one, _keys(chance))) for _ in range(chance.randint(1, 4))]
    last = len(pages) - 1
    return [
        _page(page, f"t{number}" if number < last else None, str(number < last).lower())
        for number, page in enumerate(pages)
    ]


def _odd(values: tuple[str, ...], field: str) -> Callable[[random.Random], list[str]]:
    """Pages in which some entries have an odd value in a field."""

    def made(chance: random.Random) -> list[str]:
        def one(key: str) -> str:
            return _contents(**{"key": key} | ({field: chance.choice(values)} if odd() else {}))

        def odd() -> bool:
            return chance.random() < 0.3

        return _pages(chance, one)

    return made


def _tokens(chance: random.Random) -> list[str]:
    """Pages whose ends lie: no token, the same one for ever, none truncated, empty ones."""
    made = []
    for _ in range(chance.randint(1, 4)):
        # Each has a key: empty pages without end are asked for within one call of obstore.
        contents = "".join(map(_contents, ("in/000.jpg", *_keys(chance))))
        token = chance.choice((None, "", "same", "x" * 5000, "&lt;", "in/999"))
        made.append(_page(contents, token, chance.choice(("true", "true", "false", "TRUE", "1"))))
    return made


def _structure(chance: random.Random) -> list[str]:
    """Elements exchanged, repeated, nested, left out."""
    pages = _pages(chance, _contents)
    made = []
    for page in pages:
        parts = page.replace("<", "\0<").split("\0")
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(parts))
            match chance.randrange(5):
                case 0:
                    parts[at : at + 1] = [parts[at]] * chance.choice((0, 2, 500))
                case 1:
                    other = chance.randrange(len(parts))
                    parts[at], parts[other] = parts[other], parts[at]
                case 2:
                    parts.insert(at, "<a>" * chance.choice((1, 100, 20_000)))
                case 3:
                    parts.insert(at, '<!DOCTYPE x [<!ENTITY a "aaaa">]>&a;')
                case _:
                    parts.insert(at, "<CommonPrefixes><Prefix>in/</Prefix></CommonPrefixes>")
        made.append("".join(parts))
    return made


def _bytes(chance: random.Random) -> list[str]:
    """Bytes exchanged (as Latin-1)."""
    made = []
    for page in _pages(chance, _contents):
        content = bytearray(page.encode())
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(content))
            content[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        made.append(content.decode("latin-1"))
    return made


_KINDS: dict[str, Callable[[random.Random], list[str]]] = {
    "keys": _odd(_KEYS, "key"),
    "sizes": _odd(_SIZES, "size"),
    "dates": _odd(_DATES, "date"),
    "tags": _odd(("", '"', "x" * 10_000, "\t", "é"), "tag"),
    "tokens": _tokens,
    "structure": _structure,
    "bytes": _bytes,
}


def make(kind: str, number: int) -> bytes:
    """What a server answers: its pages as JSON, and whether it begins again behind the last."""
    chance = random.Random(f"{kind}.{number}")
    made = {"pages": _KINDS[kind](chance), "again": chance.random() < 0.3}
    return json.dumps(made).encode()


class _Server:
    """Answers listings by an input, until it was asked too often: then nothing is left to list."""

    def __init__(self, stub: S3Stub) -> None:
        self._input: dict[str, list[str] | bool] = {}
        self.asked = 0
        stub.listing = self._answer

    def begin(self, content: bytes) -> None:
        self._input = json.loads(content)
        self.asked = 0

    def _answer(self, _: object, query: dict[str, str]) -> bytes:
        pages = self._input["pages"]
        assert isinstance(pages, list)
        turn, self.asked = self.asked, self.asked + 1
        if self.asked > REQUESTS_LIMIT or (turn >= len(pages) and not self._input["again"]):
            return _page("", None, "false").encode()
        text = pages[turn % len(pages)]
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass")


async def _walk(source: BucketSource, uri: str) -> tuple[str, str]:
    """What becomes of a source: a word, and what is wrong with what it names."""
    position = ""
    while True:
        message = source_at(uri, position=position)
        try:
            listing = await source.step(message)
        except SourceRefused as refused:
            return "refused", "" if str(refused) else "it does not say why"
        except SourceAway as away:
            return "away", "" if str(away) else "it does not say why"
        if wrong := _what_is_wrong(message, listing):
            return "named", wrong
        if listing.next_position is None:
            return "named", ""
        position = listing.next_position


def _what_is_wrong(message: SourceMessage, listing: Listing) -> str:
    """Whether what was named can be handed on."""
    for found in listing.images:
        image = ImageMessage.of(
            found, submission=message.submission, recipe=message.recipe, generation=1
        )
        if ImageMessage.decode(image.encode()) != image:
            return f"{found.name[:100]!r} is handed on as another"
        if found.bytes is not None and not 0 <= found.bytes < 1 << 53:
            return f"{found.bytes} bytes"
    return ""


@asynccontextmanager
async def _open() -> AsyncIterator[Try]:
    with s3_stub() as stub, mock.patch.dict(os.environ, stub.environment):
        server = _Server(stub)
        numbers = count()

        async def try_one(_: str, content: bytes) -> Answer:
            bucket = f"b{next(numbers)}"  # what is known of the one before says nothing of it
            stub.buckets = {bucket: {}}
            server.begin(content)
            try:
                text, wrong = await _walk(BucketSource([f"s3://{bucket}"]), f"s3://{bucket}/in")
            except Exception as error:  # noqa: BLE001 - raising what nobody foresaw is the finding
                text, wrong = "raised", f"{type(error).__name__}: {error}"[:500]
            if server.asked > REQUESTS_LIMIT:
                wrong = f"asked {server.asked} times for the same keys, and would not have ended"
            return Answer(text, wrong)

        yield try_one


LISTINGS = Target(
    name="listings",
    about="listings of a bucket whose server lies, walked as ingest does",
    kinds=tuple(_KINDS),
    make=make,
    open=_open,
)
