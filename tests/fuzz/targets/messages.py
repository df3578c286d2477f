"""Messages as a stranger who reaches Redis writes them, decoded in a process of their own."""

import random
from collections.abc import Callable

from shared.errors import InvalidMessage, LeftToOthers
from shared.messages import (
    MESSAGE_LIMIT_BYTES,
    Attachment,
    AttachmentKind,
    Face,
    ImageMessage,
    InlineImage,
    Message,
    Page,
    Payload,
    ResultMessage,
    SourceFailedMessage,
    SourceKind,
    SourceMessage,
    Status,
    decode_result,
    unpack_faces,
)
from shared.messages import pack_faces as packed
from shared.recipe import Recipe
from shared.streams.entries import weight_of
from tests.fuzz.isolated import Limits, isolated
from tests.fuzz.json_changes import NONSENSE, changed_json
from tests.fuzz.target import Target

LIMITS = Limits(cpu_seconds=5.0, memory_bytes=256 << 20)

HEX = "0123456789abcdef" * 2
RECIPE = Recipe(model="haar", model_version="opencv4", crops=True)
_PAYLOAD = Payload(id=HEX, size=10)
_FACE = Face(x=1, y=2, w=3, h=4, score=0.5, landmarks=(1, 2, 3), page=1)

SOURCE = SourceMessage(
    submission=HEX,
    trace=HEX,
    recipe=RECIPE,
    kind=SourceKind.INLINE,
    part=3,
    uri="file:///pictures",
    images=(InlineImage(id=HEX, name="a.jpg", payload=_PAYLOAD),),
    excluded=("file:///pictures/out",),
    exclude=("*.png", "/raw/**/b"),
    include=("[ab]?/",),
    submission_name="holiday",
)
IMAGE = ImageMessage(
    submission=HEX, trace=HEX, recipe=RECIPE, id=HEX, name="a.jpg", payload=_PAYLOAD
)
RESULT = ResultMessage(
    **IMAGE.subject,
    status=Status.FACES,
    bytes=1000,
    width=100,
    height=80,
    format="TIFF",
    taken_at="2019-06-01T12:00:00+02:00",
    camera="Maker",
    pages=2,
    searched=(Page(n=1, width=100, height=80), Page(n=2, reason="damaged")),
    faces=(_FACE, _FACE),
    annotated=IMAGE.keys.annotated,
    annotated_page=1,
    drawing=1,
    crops=IMAGE.keys.crops(2),
    payload=_PAYLOAD,
    crop_payloads=(_PAYLOAD, _PAYLOAD),
    consumer="detector-1",
    detect_ms=12.5,
)
ATTACHED = RESULT.model_copy(
    update={"faces": (), "attachments": (Attachment(kind=AttachmentKind.FACES, payload=_PAYLOAD),)}
)
FAILED = SourceFailedMessage(submission=HEX, trace=HEX, recipe=RECIPE, part=1, reason="refused")


def _roundtrip(decode: Callable[[bytes], Message], content: bytes) -> str:
    """What becomes of a message; one that is taken is written and read as the same again."""
    try:
        message = decode(content)
    except InvalidMessage as refused:
        assert len(str(refused)) < 300, "the refusal repeats what it was given"
        return "refused"
    except LeftToOthers:
        return "left"
    encoded = message.encode()
    assert decode(encoded) == message, "it is written as another message"
    assert weight_of(message, encoded) < 1 << 53, "Lua does not count so far"
    assert len(message.in_flight) < 200
    assert all(isinstance(value, (str, int)) for value in message.about.values())
    # What is passed on has more fields than what came, and may not be refused for that.
    assert len(encoded) <= max(MESSAGE_LIMIT_BYTES, 2 * len(content)), "it grows"
    return "taken"


def _faces(content: bytes) -> str:
    try:
        unpack_faces(content)
    except InvalidMessage as refused:
        assert len(str(refused)) < 300, "the refusal repeats what it was given"
        return "refused"
    return "taken"


_KINDS: dict[str, tuple[bytes, Callable[[bytes], str]]] = {
    "source": (SOURCE.encode(), lambda content: _roundtrip(SourceMessage.decode, content)),
    "image": (IMAGE.encode(), lambda content: _roundtrip(ImageMessage.decode, content)),
    "result": (RESULT.encode(), lambda content: _roundtrip(decode_result, content)),
    "attached": (ATTACHED.encode(), lambda content: _roundtrip(decode_result, content)),
    "source-failed": (FAILED.encode(), lambda content: _roundtrip(decode_result, content)),
    "faces": (packed((_FACE, _FACE)), _faces),
}


def make(kind: str, number: int) -> bytes:
    """A message of a kind after some changes; one in twenty is none at all."""
    chance = random.Random(f"{kind}.{number}")
    good = _KINDS[kind][0]
    if chance.random() < 0.05:
        return chance.choice(NONSENSE)(good)
    return changed_json(good, chance)


def decode(kind: str, content: bytes) -> str:
    """What becomes of it."""
    return _KINDS[kind][1](content)


MESSAGES = Target(
    name="messages",
    about="messages and attachments of every kind, decoded in a process of their own",
    kinds=tuple(_KINDS),
    make=make,
    open=lambda: isolated(f"{__name__}:decode", LIMITS),
)
