"""JSON that was a message: values exchanged, left out, repeated, grown; and what was never JSON."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

Json = Any
"""Any: JSON is of every kind."""

_TOKEN = "0123456789abcdef" * 2

VALUES: tuple[Json, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, -0.0, 1e300, 5e-324, 2**31, 2**53, 2**63, 2**64, 10**400),
    *("", "x", "\0", "\ud800", "é" * 5000, "x" * 100_000, "a\nb", "../" + _TOKEN, "NaN", "1"),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"),
    *("file:///etc/passwd", "file:///../a", "s3://b/../c", "http://127.0.0.1/", "file://host/a"),
    *([], {}, [[]], [None] * 600, {"a": 1}, {"id": _TOKEN, "size": 1 << 40}, {"id": _TOKEN}),
)
"""What a field is exchanged for: other types, ends of ranges, names that lead elsewhere."""


def changed_json(encoded: bytes, chance: random.Random) -> bytes:
    """A message after one to three changes of its values, and perhaps one of its bytes."""
    root = [json.loads(encoded)]
    for last in [*[False] * chance.randint(0, 2), True]:
        holder, key = chance.choice(list(_places(root)))
        change = chance.randrange(6 if last else 4)
        if change == 3 and isinstance(holder, dict):
            del holder[key]
        elif change < 4:
            near = chance.random() < 0.5
            value = holder[key]
            holder[key] = _near(value, chance) if near else deepcopy(chance.choice(VALUES))
        elif change == 4:  # these two at the end only: what grows twice would not end
            holder[key] = [holder[key]] * chance.choice((1, 2, 16, 501, 2001))
        else:
            holder[key] = _nested(holder[key], chance.choice((1, 50, 900)))
    text = json.dumps(root[0]).encode()
    return _with_other_bytes(text, chance) if chance.random() < 0.2 else text


def _near(value: Json, chance: random.Random) -> Json:
    """Another value of the same type, which may well be taken."""
    match value:
        case bool():
            return not value
        case int():
            return chance.choice((value + 1, value - 1, chance.randrange(1 << 31), 1 << 53))
        case float():
            return chance.choice((-value, value * 1.5, chance.uniform(-1e9, 1e9), 1e12))
        case str():
            text = "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randint(0, 50)))
            return chance.choice((text, value[::-1], value + value[:1], value.upper()))
        case list():
            return chance.choice((value[1:], value[::-1], value + value[:1]))
    return value


def _places(value: Json) -> Iterator[tuple[Json, Json]]:
    """Every list or object in it, with each of its places."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _nested(value: Json, depth: int) -> Json:
    for _ in range(depth):
        value = [value]
    return value


def _with_other_bytes(text: bytes, chance: random.Random) -> bytes:
    content = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                content[at:at] = chance.choice((b'"', b"{", b"\\u0000", b"\xff", b"1e999", b"NaN"))
            case 2:
                del content[at : at + chance.randint(1, 20)]
            case _:
                content[at:at] = content[at : at + 2000]
        if not content:
            break
    return bytes(content)


NONSENSE: tuple[Callable[[bytes], bytes], ...] = (
    lambda _: b"",
    lambda _: b"null",
    lambda _: b"[]",
    lambda _: b'"text"',
    lambda _: b"\x80\x04\x95 a program to load",
    lambda _: bytes(range(256)),
    lambda good: good[:-2],
    lambda good: good + good,
    lambda _: b"[" * 500_000,
    lambda good: good[:-1] + b',"more":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    lambda _: b'{"a":' * 100_000,
    lambda good: b" " * (1 << 20) + good,
    lambda good: good[:-1] + b',"trace":"\\ud800"}',
    lambda good: good[:-1] + b',"trace":"' + b"\xed\xa0\x80" * 10 + b'"}',
    lambda good: good[:-1] + b',"submission":1' + b"0" * 5000 + b"}",
    lambda good: good[:-1] + b',"trace":NaN}',
    lambda good: good[:-1] + b',"x":' + b"9" * 900_000 + b"}",
    lambda good: good[:-1] + b',"x":"' + b"\\u0041" * 150_000 + b'"}',
)
"""What is no message at all, or would cost a careless reader dear, from one that is good."""
