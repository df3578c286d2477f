"""Keys of objects that obstore cannot name: an empty part, one of dots, a control character.

One of them makes it refuse the whole page of a listing that the key is in, up to 1,000 keys. What
it says of the key is enough to go on behind it.
"""

import re
from dataclasses import dataclass

from obstore.exceptions import InvalidPathError

_QUOTED = re.compile(r'path: "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PARTS = re.compile(r"(?:^|/)(?:\.\.?)?(/|$)")
"""An empty part or one of dots; the group is the slash behind it, or the end."""


@dataclass(frozen=True)
class BadKey:
    """One such key.

    Attributes:
        key: as the store has it.
        following: where a listing goes on: behind all keys that begin as this one does up to what
            is wrong with it, and before any other.
    """

    key: str
    following: str

    @property
    def folder(self) -> str:
        """The part of it that is right, without a slash at the end."""
        return self.following[:-1].rpartition("/")[0]

    @property
    def sentence(self) -> str:
        """What is wrong with it, for people."""
        return (
            f"{self.key[:200]!r} cannot be read: its key has an empty part, a part of dots or a "
            f"control character. Up to 1,000 keys before it in {self.folder[:200]!r} may be passed "
            "over with it; rename it"
        )


def bad_key(error: InvalidPathError) -> BadKey | None:
    """The key that a listing stumbled over; None where the error does not tell.

    It quotes the key as Rust's Debug does: https://doc.rust-lang.org/std/primitive.char.html#method.escape_debug
    """
    found = _QUOTED.search(str(error).rpartition("Debug source:")[2])
    if not found:
        return None
    key = _ESCAPED.sub(lambda one: _character(one[1], one[2]), found[1])
    following = _following(key)
    return BadKey(key, following) if following else None


def _character(code: str | None, plain: str) -> str:
    return chr(int(code, 16)) if code else _PLAIN.get(plain, plain)


def _following(key: str) -> str:
    """A right key behind all that share what is wrong: the wrong character and the next right one
    differ by as little as can be."""
    wrong = [found.start(1) for found in [_PARTS.search(key)] if found]
    wrong += [found.start() for found in [_CONTROL.search(key)] if found]
    if not wrong:
        return ""
    at = min(wrong)
    if key[at : at + 1] == "\x7f":
        return key[:at] + "\x80"
    if key[at : at + 1] == "/":
        return key[:at] + "0"  # the character behind the slash
    return key[:at] + " "
