"""Nobody but `shared.picture_keys` builds the key of a picture's object."""

import re

from tests.support.project import PROJECT

BY_HAND = re.compile(r"""f["'][^"'\n]*\}[^"'\n]*[/-](?:crop-)?[^"'\n]*\.jpg["']""")
"""An f-string that puts something before a slash, or a number before `.jpg`."""

OWNER = PROJECT / "shared" / "picture_keys.py"


def test_no_other_module_writes_such_a_key() -> None:
    modules = [path for room in ("services", "shared") for path in (PROJECT / room).rglob("*.py")]
    assert BY_HAND.search(OWNER.read_text("utf-8")), "the pattern finds what it looks for"
    others = [path for path in modules if path != OWNER]
    assert [str(path) for path in others if BY_HAND.search(path.read_text("utf-8"))] == []


def test_the_forms_of_the_last_version_would_be_found() -> None:
    for line in (
        'f"{row.recipe}/{row.id}.jpg"',
        "f'{recipe}/{image}-{n}.jpg'",
        'f"{x}/crop-{n}.jpg"',
    ):
        assert BY_HAND.search(line), line
