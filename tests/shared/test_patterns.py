"""What `--exclude` and `--include` match."""

import pytest

from shared.folders.patterns import Choice, Pattern
from shared.folders.rules import rule_of


@pytest.mark.parametrize(
    ("pattern", "path", "is_folder", "matches"),
    [
        ("*.png", b"a.png", False, True),
        ("*.png", b"a/b/IMG.PNG", False, True),
        ("*.png", b"a.png.jpg", False, False),
        ("raw/", b"a/raw", True, True),
        ("raw/", b"a/raw", False, False),
        ("/raw", b"raw", True, True),
        ("/raw", b"a/raw", True, False),
        ("a/b", b"a/b", False, True),
        ("a/b", b"x/a/b", False, False),
        ("a/*", b"a/b/c", False, False),
        ("a/**", b"a/b/c", False, True),
        ("a/**", b"a", True, False),
        ("a/**/c", b"a/c", False, True),
        ("a/**/c", b"a/x/y/c", False, True),
        ("**/c", b"c", False, True),
        ("**", b"a/b", False, True),
        ("IMG_????.*", b"IMG_0001.jpg", False, True),
        ("[ab].jpg", b"c.jpg", False, False),
        ("*.jpg", b"\xff\xfe.jpg", False, True),
        ("?.jpg", "é.jpg".encode(), False, True),
    ],
)
def test_patterns_match_as_in_gitignore(
    pattern: str, path: bytes, is_folder: bool, matches: bool
) -> None:
    assert Pattern(pattern).matches(path, is_folder=is_folder) is matches


@pytest.mark.parametrize("text", ["", "/", "//", "a\0b"])
def test_what_names_nothing_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        Pattern(text)


def test_no_pattern_takes_long() -> None:
    """One that tried again would take longer than the universe is old."""
    assert not Pattern("*a" * 200 + "b").matches(b"a" * 255, is_folder=False)
    assert not Pattern("**/a/" * 7 + "b").matches(b"a/" * 1900 + b"a", is_folder=False)


def test_with_include_only_what_matches_it_or_lies_in_what_does_is_taken() -> None:
    choice = Choice(include=["best/", "*.png"])
    assert choice.takes(b"2019/best/a.jpg")
    assert choice.takes(b"x/a.png")
    assert not choice.takes(b"x/a.jpg")


def test_exclude_stands_above_include() -> None:
    choice = Choice(["*.png"], ["*"])
    assert choice.takes(b"a.jpg")
    assert not choice.takes(b"a.png")


def test_a_pattern_of_more_names_than_paths_have_is_refused() -> None:
    assert Pattern("a/" * 16).matches(b"a/" * 15 + b"a", is_folder=True)
    with pytest.raises(ValueError, match="more than 16 names between slashes"):
        Pattern("a/" * 17)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"@eaDir", "thumbnails"),
        (b"#recycle", "recycle_bin"),
        (b"$RECYCLE.BIN", "recycle_bin"),
        (b".Trash-1000", "recycle_bin"),
        (b"lost+found", "system"),
        (b"__MACOSX", "archive_leftovers"),
        (b"Catalog Previews.lrdata", "previews"),
        (b".git", "hidden"),
    ],
)
def test_folders_that_hold_no_pictures_of_people_are_known_by_name(name: bytes, kind: str) -> None:
    rule = rule_of(name)
    assert rule is not None
    assert rule.kind == kind
    assert rule_of(b"holiday") is None
