"""What inputs may do to a process that tries them, for tests of what watches it."""

import os


def spoil(_: str, content: bytes) -> str:
    """Crash, loop, raise or flood, as the input says."""
    match content:
        case b"crash":
            os.abort()
        case b"loop":
            while True:
                pass
        case b"raise":
            raise KeyError("unforeseen")
        case b"flood":
            return str(len(b"x" * (200 << 20)))
    return "fine"
