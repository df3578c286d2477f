"""References: the kinds of URI under which pictures may be read, and where each is allowed.

A kind is one entry of `SCHEMES`. What lists it is a source (`services.ingest.sources`), what reads
from it is an opener (`services.detector.references`). Both, and the command line, ask here which
URIs are of which kind and what the settings allow.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.urls import BUCKET_SCHEMES, FILE_SCHEMES, file_uri

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True)
class Scheme:
    """One kind of reference.

    Attributes:
        kind: what people call one place of this kind: `folder`, `bucket`.
        names: the schemes of its URIs, in lower case.
        examples: beginnings of such URIs, for messages to people.
        setting: the environment variable that holds its allow-list.
        allow_list: that list in the settings, as URIs; nothing outside of them is read.
    """

    kind: str
    names: tuple[str, ...]
    examples: tuple[str, ...]
    setting: str
    allow_list: Callable[["Settings"], tuple[str, ...]]

    def outside(self, shown: str) -> str:
        """The sentence for people about a reference that the allow-list does not cover."""
        return (
            f"{shown} is not below a {self.kind} of {self.setting}; add its {self.kind} there, or "
            "send the bytes with `faces submit` without --by-reference"
        )


FILES = Scheme(
    kind="folder",
    names=FILE_SCHEMES,
    examples=("file:///",),
    setting="FACES_SOURCE_ROOTS",
    allow_list=lambda settings: tuple(
        file_uri(os.fsencode(root)) for root in settings.source_roots
    ),
)
BUCKETS = Scheme(
    kind="bucket",
    names=BUCKET_SCHEMES,
    examples=("s3://", "gs://", "az://"),
    setting="FACES_SOURCE_BUCKETS",
    allow_list=lambda settings: settings.source_buckets,
)

SCHEMES = (FILES, BUCKETS)

AllowLists = Mapping[str, tuple[str, ...]]
"""The allow-list of each kind, by `Scheme.kind`."""


_SLASH = re.compile("/")

_BY_NAME = {name: scheme for scheme in SCHEMES for name in scheme.names}


def scheme_of(uri: str) -> Scheme | None:
    """The kind of a reference; None for one that is not known here."""
    return _BY_NAME.get(uri.partition(":")[0].lower())


def unknown(uri: str) -> str:
    """The sentence for people about a reference of a kind that is not known here."""
    *most, last = (example for scheme in SCHEMES for example in scheme.examples)
    return f"{uri[:200]!r} cannot be read by reference: known are {', '.join(most)} and {last}"


def is_allowed(uri: str, allow_list: Sequence[str]) -> bool:
    """Whether a URI lies below one of an allow-list; links and `..` in it are resolved already."""
    return allowed_by(uri, tuple(allow_list)) is not None


def allowed_by(uri: str, allow_list: tuple[str, ...]) -> str | None:
    """Which entry of an allow-list a URI is, or lies below, as `below` says: the innermost.

    It takes as long as the URI has parts, however long the list is: a run may be given thousands
    of files.
    """
    entries = _without_slash(allow_list)
    above = (uri[: slash.start()] for slash in reversed(list(_SLASH.finditer(uri))))
    return next((entries[one] for one in (uri.rstrip("/"), *above) if one in entries), None)


@lru_cache(maxsize=16)
def _without_slash(allow_list: tuple[str, ...]) -> dict[str, str]:
    return {entry.rstrip("/"): entry for entry in reversed(allow_list)}


def reference_to(source: str) -> str:
    """The URI for what a person names: a URI as it stands, or the `file://` URI of a path here.

    The path is not normalised: `..` behind a link leads elsewhere on the machine that opens it.
    """
    if "://" in source:
        return source
    return file_uri(os.path.join(os.getcwdb(), os.fsencode(source)))  # noqa: PTH109, PTH118
