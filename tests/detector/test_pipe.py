"""Frames between the detector and its children: what survives, and what is refused, how early."""

import asyncio
import io
import struct
import tracemalloc

import pytest

from services.detector.pipe import (
    HEADER_LIMIT_BYTES,
    PAYLOAD_LIMIT_BYTES,
    PIECE_BYTES,
    ProtocolError,
    Reply,
    frame_start,
    read_frame,
    receive,
    receive_pictures,
    write_frame,
)
from shared.messages import FACES_LIMIT, PAGES_LIMIT, Face, Kind, Page, Status


def sent_by_a_child(sent: bytes) -> asyncio.StreamReader:
    """The parent's end of a pipe that a child wrote this into, and closed."""
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    reader.feed_eof()
    return reader


async def received(sent: bytes) -> tuple[Reply, tuple[bytes, ...]]:
    reader = sent_by_a_child(sent)
    reply, payload = await receive(reader, Reply)
    return reply, await receive_pictures(reader, reply, payload)


def test_frames_survive_the_pipe_and_its_end_is_seen() -> None:
    pipe = io.BytesIO()
    reply = Reply(kind="done", reason="é", parts=(2, 1))
    write_frame(pipe, reply, (b"\0\xff", b"c"))
    pipe.seek(0)
    assert read_frame(pipe, Reply) == (reply, b"\0\xffc")
    assert read_frame(pipe, Reply) is None
    whole = pipe.getvalue()
    for cut in (1, 11, 13, len(whole) - 1):
        assert read_frame(io.BytesIO(whole[:cut]), Reply) is None


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">IQ", 1 << 31, 0),
        struct.pack(">IQ", HEADER_LIMIT_BYTES + 1, 0),
        struct.pack(">IQ", 2, 1 << 40) + b"{}",
        struct.pack(">IQ", 2, PAYLOAD_LIMIT_BYTES + 1),
        struct.pack(">IQ", 2, 0) + b"{}",
        struct.pack(">IQ", 15, 0) + b'{"kind":"eval"}',
        struct.pack(">IQ", 32, 0) + b'{"kind":"done","status":"faces"}',
        struct.pack(">IQ", 15, 0) + b'{"kind":"done"}',
    ],
)
async def test_what_is_no_frame_is_refused_before_it_takes_memory(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        await receive(sent_by_a_child(sent), Reply)


@pytest.mark.parametrize("parts", [(1, 2), (1,), (2, 1, 1), ()])
async def test_sizes_that_do_not_fit_the_payload_are_refused(parts: tuple[int, ...]) -> None:
    told = Reply(kind="done", status=Status.NO_FACES, annotated=True, crops=1, parts=parts)
    with pytest.raises(ProtocolError, match="as told"):
        await received(frame_start(told, 2) + b"12")


@pytest.mark.parametrize("sizes", [(3, 0, 2), (3 * PIECE_BYTES + 5, PIECE_BYTES + 1, PIECE_BYTES)])
async def test_pictures_small_and_large_arrive_whole_and_apart(sizes: tuple[int, ...]) -> None:
    pictures = tuple(bytes([n]) * size for n, size in enumerate(sizes))
    told = Reply(kind="done", status=Status.NO_FACES, annotated=True, crops=2, parts=sizes)
    assert await received(frame_start(told, sum(sizes)) + b"".join(pictures)) == (told, pictures)


async def test_a_child_that_ends_within_a_large_picture_is_seen_to() -> None:
    told = Reply(kind="done", status=Status.NO_FACES, annotated=True, parts=(3 * PIECE_BYTES,))
    with pytest.raises(asyncio.IncompleteReadError):
        await received(frame_start(told, 3 * PIECE_BYTES) + bytes(2 * PIECE_BYTES))


async def test_a_large_picture_is_in_memory_once() -> None:
    size = 64 * PIECE_BYTES
    told = Reply(kind="done", status=Status.NO_FACES, annotated=True, parts=(size,))
    reader = asyncio.StreamReader(limit=PIECE_BYTES)
    reader.feed_data(frame_start(told, size))

    async def send() -> None:
        for _ in range(64):
            reader.feed_data(bytes(PIECE_BYTES))
            await asyncio.sleep(0)

    tracemalloc.start()
    try:
        sending = asyncio.create_task(send())
        reply, payload = await receive(reader, Reply)
        [picture] = await receive_pictures(reader, reply, payload)
        await sending
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(picture) == size
    assert peak < 1.5 * size


def the_longest() -> Reply:
    """As much as a child may have to tell."""
    number = -1.2345678901234567e-05
    where = {"x": number, "y": number, "w": number, "h": number}
    face = Face(**where, score=0.9123456789012345, landmarks=(number,) * 10, page=PAGES_LIMIT)
    pages = range(1, PAGES_LIMIT + 1)
    return Reply(
        kind="done",
        status=Status.FACES,
        media=Kind.DOCUMENT,
        pages=100_000,
        searched=tuple(Page(n=n, width=99_999, height=99_999, reason="\x01" * 200) for n in pages),
        faces=(face,) * FACES_LIMIT,
        annotated=True,
        crops=FACES_LIMIT,
        parts=(65_000,) * (FACES_LIMIT + 1),
        steps_ms={f"step {n}": 1.2345678901234567 for n in range(40)},
    )


async def test_the_longest_reply_is_within_the_limits() -> None:
    told = the_longest()
    assert (await receive(sent_by_a_child(frame_start(told, 0)), Reply))[0] == told


def filled(start: bytes, item: bytes, end: bytes) -> bytes:
    """A header as long as one may be."""
    many = (HEADER_LIMIT_BYTES - len(start) - len(end)) // (len(item) + 1)
    return start + b",".join([item] * many) + end


@pytest.mark.parametrize(
    "header",
    [
        filled(b'{"kind":"done","faces":[', b"{}", b"]}"),
        filled(b'{"kind":"done","searched":[', b"0", b"]}"),
        filled(b'{"kind":"done","parts":[', b'""', b"]}"),
        filled(b'{"kind":"done","faces":[{"landmarks":[', b'""', b"]}]}"),
        filled(b"{", b'"a":0', b"}"),
        b"[" * HEADER_LIMIT_BYTES,
        b'{"kind":"done","faces":[' + b",".join([b"{}"] * 60_000) + b"]}",
        b'{"kind":"done","parts":[' + b",".join([b'""'] * 60_000) + b"]}",
    ],
    ids=[
        "faces",
        "searched",
        "parts",
        "landmarks",
        "keys",
        "nested",
        "60,000 faces",
        "60,000 parts",
    ],
)
async def test_a_header_that_is_wrong_in_very_many_places_costs_as_much_as_one_mistake(
    header: bytes,
) -> None:
    """Each mistake that is reported takes a kilobyte: of all of them it would be gigabytes."""
    sent = sent_by_a_child(struct.pack(">IQ", len(header), 0) + header)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            await receive(sent, Reply)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * HEADER_LIMIT_BYTES
