"""The frames between the detector and its child processes: JSON headers and raw bytes.

A frame is two lengths (big endian: 4 bytes for the header, 8 for the payload), a JSON header and
a payload. The parent sends a `Config`, the child answers `Ready`. From then on each `Request` is
answered by one `Reply`. Before it an empty frame may come: a *credit* for one more request. A
child works on pictures from strangers, so what it says is validated and bounded before it takes
memory or time. Both ends are of one program: frames have no version.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from services.detector.cell import WHY_LIMIT, Layer
from services.detector.taken import Taken
from shared import fields
from shared.messages import FACES_LIMIT, PAGES_LIMIT, Face, Kind, Page, Status
from shared.picture_keys import CONTENT_TYPES, JPEG
from shared.recipe import Recipe

PREFIX = struct.Struct(">IQ")

HEADER_LIMIT_BYTES = 2 << 20
"""A reply with the most faces and pages, and all that may be said of each, has 1.4 MB."""

HEADER_LIMIT_COMMAS = 1 << 16
"""Most commas in a header: the same reply has 40,000. They bound the time to parse one. (4 MiB of
`"faces":[{},{},...` took 55 s and 5 GB, since each was reported with each field that it lacks.)"""

PAYLOAD_LIMIT_BYTES = 128 << 20
"""Most bytes that a child may answer: annotated picture and crops of one image, together. What its
parent sends is bounded by FACES_MAX_FILE_BYTES and FACES_INLINE_LIMIT_BYTES, before it is read."""

PIECE_BYTES = 1 << 20
"""A picture larger than this is received in pieces, and so is in memory once and not twice."""

PIPE_BYTES = 1 << 20
"""Room asked for in each pipe, so that a typical picture passes in one piece."""

CREDIT = PREFIX.pack(0, 0)
"""A credit: the child has decoded its picture, what is left is its own bounded work, and one more
request may wait in its pipe. So no child idles while its parent handles an answer."""


class ProtocolError(Exception):
    """The other side sent what is not a frame of this protocol."""


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Config(_Header):
    """What a child needs to know once; it gets no settings through its environment.

    `process` and `load` are `module:function`: what is done with one picture, and how a model is
    loaded. `pages_seconds` is for how long the pages of one document are searched. With
    `cell_required` a child whose cell lacks a layer does not start.
    """

    model: str
    models_dir: Path
    memory_bytes: int
    max_pixels: int
    max_file_bytes: int
    pages_seconds: float = 30.0
    cell_required: bool = False
    process: str = "services.detector.picture:process"
    load: str = "services.detector.models:load"


class Ready(_Header):
    """The child can work, or says why it never will.

    `memory_bytes` is the address space that it holds before its first picture; `missing_layers`
    those of its cell that do not hold, and why.
    """

    refused: Annotated[str, Field(max_length=2000)] = ""
    model_missing: bool = False
    memory_bytes: int = 0
    missing_layers: dict[Layer, Annotated[str, Field(max_length=WHY_LIMIT)]] = {}


class Request(_Header):
    """One picture: in the payload, or an open file of this `version` ('' for any) that is `handed`
    over beside it (`services.detector.handing`).

    `number` is drawn anew for each: its answer repeats it, and so was not written before it was
    asked for, nor to another picture.
    """

    recipe: Recipe
    number: int = 0
    handed: bool = False
    version: str = ""


class Reply(_Header):
    """What became of one picture.

    `retry`: an attempt that may go better elsewhere or later. `memory`: it needed more memory
    than a slot may use, and the parent replaces the child. `to` is the request's number; `faces`
    to `steps_ms` are as in `services.detector.processed.Processed`.
    """

    kind: Literal["done", "retry", "memory"]
    to: int = 0
    reason: fields.ShortText = ""
    code: fields.ReasonCode | None = None
    status: Literal[Status.FACES, Status.NO_FACES, Status.FAILED] = Status.FAILED
    size: fields.Bytes | None = None
    width: fields.Count = 0
    height: fields.Count = 0
    format: fields.FormatName = ""
    taken: Taken = Taken()
    media: Kind = Kind.PICTURE
    pages: fields.Count = 1
    searched: Annotated[fields.Several[Page], Field(max_length=PAGES_LIMIT)] = ()
    cut: bool = False
    faces: Annotated[fields.Several[Face], Field(max_length=FACES_LIMIT)] = ()
    annotated: bool = False
    suffix: str = JPEG
    annotated_page: fields.PageNumber | None = None
    crops: Annotated[int, Field(ge=0, le=FACES_LIMIT)] = 0
    parts: Annotated[fields.Several[NonNegativeInt], Field(max_length=FACES_LIMIT + 1)] = ()
    steps_ms: Annotated[dict[str, float], Field(max_length=40)] = {}
    total_ms: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.suffix not in CONTENT_TYPES:
            raise ValueError("not the format of an annotated picture")
        if (self.status is Status.FACES) != bool(self.faces):
            raise ValueError("status and faces do not agree")
        if self.kind == "done" and (self.status is Status.FAILED) != bool(self.reason):
            raise ValueError("a failed picture, and only that, has a reason")
        return self

    def sizes_of(self, payload_bytes: int) -> tuple[int, ...]:
        """The sizes of the pictures in the payload: the annotated one, then the crops.

        Raises:
            ProtocolError: the number or the sizes told are not those of the payload.
        """
        if len(self.parts) != self.annotated + self.crops:
            raise ProtocolError("not as many pictures as told")
        if sum(self.parts) != payload_bytes:
            raise ProtocolError("the pictures are not as large as told")
        return self.parts


def frame_start(header: BaseModel, payload_bytes: int) -> bytes:
    """Everything of a frame but its payload."""
    encoded = header.model_dump_json(exclude_defaults=True).encode()
    return PREFIX.pack(len(encoded), payload_bytes) + encoded


H = TypeVar("H", bound=BaseModel)


def _parse(kind: type[H], header: bytes) -> H:
    if header.count(b",") > HEADER_LIMIT_COMMAS:
        raise ProtocolError(f"not a {kind.__name__}: more values than one has")
    try:
        return kind.model_validate_json(header)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProtocolError(f"not a {kind.__name__}: {first['loc']}: {first['msg']}") from None


async def receive(
    reader: asyncio.StreamReader, kind: type[H], credited: Callable[[], None] | None = None
) -> tuple[H, int]:
    """The next header, in the parent, and how many bytes of payload follow it. A credit before it,
    where one may come, calls `credited`.

    Raises:
        asyncio.IncompleteReadError: the child is gone.
        ProtocolError: it sent something else, or says that it will send more than is allowed.
    """
    prefix = await reader.readexactly(PREFIX.size)
    if prefix == CREDIT and credited is not None:
        credited()
        prefix = await reader.readexactly(PREFIX.size)
    header, payload = PREFIX.unpack(prefix)
    if header > HEADER_LIMIT_BYTES or payload > PAYLOAD_LIMIT_BYTES:
        raise ProtocolError(f"a frame of {header} + {payload} bytes")
    return _parse(kind, await reader.readexactly(header)), payload


async def receive_pictures(
    reader: asyncio.StreamReader, reply: Reply, payload_bytes: int
) -> tuple[bytes, ...]:
    """The pictures that follow a reply: the annotated one, then the crops. Errors as `receive`."""
    return tuple([await _received(reader, size) for size in reply.sizes_of(payload_bytes)])


async def _received(reader: asyncio.StreamReader, size: int) -> bytes:
    if size <= PIECE_BYTES:
        return await reader.readexactly(size)
    # getvalue() then gives away what was collected, without a copy.
    whole = BytesIO()
    while (missing := size - whole.tell()) > 0:
        if not (piece := await reader.read(min(missing, PIECE_BYTES))):
            raise asyncio.IncompleteReadError(b"", missing)
        whole.write(piece)
    return whole.getvalue()


def write_frame(stream: BinaryIO, header: BaseModel, payloads: Sequence[bytes] = ()) -> None:
    """Send a frame, in the child."""
    stream.write(frame_start(header, sum(map(len, payloads))))
    for payload in payloads:
        stream.write(payload)
    stream.flush()


def write_credit(stream: BinaryIO) -> None:
    """Grant a credit ahead of the answer, in the child."""
    stream.write(CREDIT)
    stream.flush()


def read_frame(stream: BinaryIO, kind: type[H]) -> tuple[H, bytes] | None:
    """The next frame, in the child, which trusts its parent; None when the parent has closed its
    end or is gone.

    Raises:
        ProtocolError: the parent sent something else.
    """
    prefix = stream.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header, payload = PREFIX.unpack(prefix)
    told, content = stream.read(header), stream.read(payload) if payload else b""
    if len(told) < header or len(content) < payload:
        return None
    return _parse(kind, told), content
