"""What was not read since it is no picture, grouped in a phrase for people."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from shared.media import kind_of
from shared.printing import count, printable

_EXTENSION = re.compile(r"\((\.[a-z0-9]+)\)\Z")


def not_read_by_kind(sentences: Mapping[str, int]) -> str:
    """Such as `40 videos (.mp4 38, .mov 2), 3 drawings (.svg)`, most first, from how often each
    sentence of `shared.media.why_not_read` was said. One of another version stands as it is."""
    kinds: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    others: list[str] = []
    for sentence, number in sentences.items():
        named = _EXTENSION.search(sentence)
        kind = kind_of(b"any" + named[1].encode()) if named else None
        if named is None or kind is None:
            others.append(f"{number:,} x {printable(sentence.removeprefix('not read: '))}")
        else:
            kinds[kind.name, kind.plural][named[1]] += number
    most_first = sorted(kinds.items(), key=lambda one: -one[1].total())
    return ", ".join(
        [f"{count(sum(n.values()), *names)} ({_listed(n)})" for names, n in most_first] + others
    )


def _listed(extensions: Counter[str]) -> str:
    if len(extensions) == 1:
        return next(iter(extensions))
    return ", ".join(f"{extension} {number:,}" for extension, number in extensions.most_common())
