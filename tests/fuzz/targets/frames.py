"""What a child that was taken over may write to its parent: frames that are none, or lie."""

import asyncio
import random

from pydantic_core import to_json

from services.detector.pipe import (
    CREDIT,
    HEADER_LIMIT_BYTES,
    PREFIX,
    ProtocolError,
    Ready,
    Reply,
    receive,
    receive_pictures,
)
from shared.messages import Face, Page, Status
from tests.fuzz.isolated import Limits, isolated
from tests.fuzz.json_changes import NONSENSE, changed_json
from tests.fuzz.target import Target

LIMITS = Limits(cpu_seconds=5.0, memory_bytes=256 << 20)
"""The parent reads this in its event loop, and holds it."""

_REPLY = Reply(
    kind="done",
    status=Status.FACES,
    size=1234,
    width=20,
    height=10,
    format="PNG",
    faces=tuple(Face(x=n, y=2, w=3, h=4, score=0.9, landmarks=(1.0,) * 10) for n in range(5)),
    searched=(Page(n=1, width=20, height=10), Page(n=2, reason="damaged")),
    annotated=True,
    crops=2,
    parts=(10, 20, 30),
    steps_ms={"decode": 1.5},
    total_ms=7.5,
)
_PAYLOAD = bytes(range(60))


def _frame(header: bytes, payload: bytes) -> bytes:
    return PREFIX.pack(len(header), len(payload)) + header + payload


def _reply(chance: random.Random) -> bytes:
    header = changed_json(to_json(_REPLY), chance)
    return _frame(header, _PAYLOAD[: chance.choice((0, 59, 60, 60, 60))])


def _many(chance: random.Random) -> bytes:
    """Lists as long as a header may be."""
    field = chance.choice(("faces", "searched", "parts", "steps_ms", "more"))
    one = chance.choice((b"1", b"{}", b'"a"', b"[]", b"null", b'{"n":1}', to_json(_REPLY.faces[0])))
    size = chance.choice((2000, 2001, 100_000, HEADER_LIMIT_BYTES))
    many = b"[" + b",".join([one] * max(1, size // (len(one) + 1))) + b"]"
    return _frame(to_json(_REPLY)[:-1] + f',"{field}":'.encode() + many + b"}", _PAYLOAD)


def _ready(chance: random.Random) -> bytes:
    ready = Ready(refused="it cannot", model_missing=True, memory_bytes=1 << 30)
    return _frame(changed_json(to_json(ready), chance), b"")


def _lengths(chance: random.Random) -> bytes:
    """A prefix that claims what does not follow, or is not allowed."""
    header = chance.choice((0, 1, 200, HEADER_LIMIT_BYTES, HEADER_LIMIT_BYTES + 1, 0xFFFFFFFF))
    payload = chance.choice((0, 1, 128 << 20, 1000 << 20, 1 << 30, (1 << 64) - 1))
    return PREFIX.pack(header, payload) + to_json(_REPLY) + chance.randbytes(chance.randint(0, 500))


def _credits(chance: random.Random) -> bytes:
    return CREDIT * chance.choice((1, 2, 3, 100_000)) + _reply(chance)


def _nonsense(chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return chance.randbytes(chance.randint(0, 2000))
    return _frame(chance.choice(NONSENSE)(to_json(_REPLY)), b"")


_KINDS = {
    "reply": _reply,
    "many": _many,
    "ready": _ready,
    "lengths": _lengths,
    "credits": _credits,
    "nonsense": _nonsense,
}


def make(kind: str, number: int) -> bytes:
    """What a child writes."""
    return _KINDS[kind](random.Random(f"{kind}.{number}"))


def receive_one(kind: str, content: bytes) -> str:
    """What its parent makes of it."""
    return asyncio.run(_received(kind, content))


async def _received(kind: str, content: bytes) -> str:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    granted: list[None] = []
    try:
        if kind == "ready":
            await receive(reader, Ready)
        else:
            reply, payload = await receive(reader, Reply, lambda: granted.append(None))
            await receive_pictures(reader, reply, payload)
    except ProtocolError as refused:
        assert len(str(refused)) < 1000, "it repeats what it was given"
        return "refused"
    except asyncio.IncompleteReadError:
        return "ends early"
    assert len(granted) <= 1, "more credits than one"
    return "taken"


FRAMES = Target(
    name="frames",
    about="what a child that was taken over may write to its parent",
    kinds=tuple(_KINDS),
    make=make,
    open=lambda: isolated(f"{__name__}:receive_one", LIMITS),
)
