"""Open files pass from parent to child over a socket, in order, and nothing comes back."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.detector.handing import childs_end, hand_over, socket_pair, taken
from shared.errors import Unreachable


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket_pair()
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def content_of(descriptor: int | None) -> bytes:
    assert descriptor is not None
    try:
        assert not os.get_inheritable(descriptor)
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


def test_files_arrive_in_order_and_the_parent_keeps_its_own(ends: Ends, tmp_path: Path) -> None:
    ours, theirs = ends
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        with (tmp_path / name).open() as file:
            hand_over(ours, file.fileno())
            assert os.pread(file.fileno(), 100, 0) == name.encode()
    child = childs_end(os.dup(theirs.fileno()))
    with child:
        assert content_of(taken(child)) == b"one"
        assert content_of(taken(child)) == b"two"
        ours.close()
        assert taken(child) is None


def test_a_child_sends_nothing_back(ends: Ends) -> None:
    _, theirs = ends
    with pytest.raises(BrokenPipeError):
        theirs.send(b"x")
    with pytest.raises(BrokenPipeError):
        socket.send_fds(theirs, [b"x"], [0])


def test_a_child_that_is_gone_is_told_apart_from_a_system_that_refuses(ends: Ends) -> None:
    ours, theirs = ends
    with pytest.raises(BrokenPipeError):
        theirs.close()
        hand_over(ours, 0)
    ours, theirs = socket_pair()
    with ours, theirs, pytest.raises(Unreachable, match="cannot be handed to a detector process"):
        for _ in range(100_000):  # nobody takes them
            hand_over(ours, 0)


def test_data_without_a_file_is_no_file(ends: Ends) -> None:
    ours, theirs = ends
    ours.send(b"\0")
    with pytest.raises(OSError, match="could not be taken"):
        taken(theirs)
