"""Handing open files to a child, over a pair of connected Unix sockets.

A child opens no picture: it gets the descriptor of one that its parent has opened (SCM_RIGHTS, see
unix(7)), and can reach no other. Descriptors and requests are sent in the same order, so each
belongs to the next request that says that there is one.
"""

import errno
import socket
from array import array

from shared.errors import Unreachable

_A_BYTE = b"\0"
"""Rides along: a stream socket passes no descriptor without data."""

_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF}

_ON_RECEIPT = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The parent's end, and the child's. The parent only sends: what comes from a child, which may
    be taken over, would otherwise be kept for nobody."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    ours.shutdown(socket.SHUT_RD)
    return ours, theirs


def hand_over(ours: socket.socket, descriptor: int) -> None:
    """Send a descriptor, in the parent, which keeps its own.

    Raises:
        BrokenPipeError: the child is gone.
        Unreachable: the system passes none now.
    """
    try:
        socket.send_fds(ours, [_A_BYTE], [descriptor])
    except OSError as error:
        if error.errno in _GONE:
            raise BrokenPipeError from None
        told = f"an open file cannot be handed to a detector process: {error.strerror or error}"
        raise Unreachable(told) from None


def childs_end(descriptor: int) -> socket.socket:
    """The child's end, as its parent named it. Whatever system calls this takes come before any
    picture does; later `recvmsg` is enough."""
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)
    theirs.set_inheritable(False)
    return theirs


def taken(theirs: socket.socket) -> int | None:
    """The next descriptor, in the child; None when the parent has closed its end or is gone."""
    # Not socket.recv_fds: in Python 3.11 it drops the flags.
    room = socket.CMSG_LEN(array("i").itemsize)
    data, passed, _, _ = theirs.recvmsg(len(_A_BYTE), room, _ON_RECEIPT)
    if not data:
        return None
    descriptors = array("i")
    for level, kind, content in passed:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content)
    if not descriptors:  # the kernel drops one for which this process has no number left
        raise OSError(errno.EMFILE, "a file was handed over, and could not be taken")
    return descriptors[0]
