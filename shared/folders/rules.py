"""Folders that are passed over unless they are included by name: one entry of `RULES` a kind.

They hold copies made by a program, or what was thrown away, and no pictures that a person keeps.
"""

from dataclasses import dataclass

OWN_OUTPUT = "output"
"""Kind of a folder that is the OUT of a run, which only its content tells."""

OWN_MARK = b".faces"
"""The folder that every OUT has."""


@dataclass(frozen=True)
class Rule:
    """One kind of folder.

    Attributes:
        kind: its name in figures.
        what: several of them, as a sentence names them.
        names: of such folders, in small letters.
        endings: of such folders' names, in small letters.
    """

    kind: str
    what: str
    names: frozenset[bytes] = frozenset()
    endings: tuple[bytes, ...] = ()


RULES = (
    Rule(
        "thumbnails",
        "folders of thumbnails of a NAS or a camera",
        frozenset((b"@eadir", b".@__thumb", b"thumbs", b".thumbnails")),
    ),
    Rule(
        "recycle_bin",
        "recycle bins",
        frozenset((b"#recycle", b"@recycle", b"$recycle.bin", b"recycler", b".trash", b".trashes")),
    ),
    Rule(
        "system",
        "folders of a file system",
        frozenset((b"system volume information", b"lost+found", b"#snapshot", b"@tmp")),
    ),
    Rule("archive_leftovers", "leftovers of archives made on a Mac", frozenset((b"__macosx",))),
    Rule(
        "previews",
        "caches of previews of Lightroom and Capture One",
        frozenset((b"captureone",)),
        (b".lrdata",),
    ),
    Rule("hidden", "hidden folders"),
    Rule(OWN_OUTPUT, "output folders of faces"),
)


def rule_of(name: bytes) -> Rule | None:
    """The rule by which a folder of this name is passed over."""
    lowered = name.lower()
    for rule in RULES:
        if lowered in rule.names or (rule.endings and lowered.endswith(rule.endings)):
            return rule
    if lowered.startswith(b".trash-"):
        return _BY_KIND["recycle_bin"]
    return _BY_KIND["hidden"] if name.startswith(b".") else None


_BY_KIND = {rule.kind: rule for rule in RULES}
