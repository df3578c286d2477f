"""What README.md says is true: its settings, its commands with their flags, its Make targets."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from services.cli.app import app
from services.cli.formats.settings import settings_rows
from tests.support.project import PROJECT, make_targets

DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]
README = DOCUMENTS[0].read_text("utf-8")

ROOT = get_command(app)


def typed(document: Path, program: str) -> list[str]:
    """Commands of a program that a document tells people to type, in blocks and in sentences."""
    text = document.read_text("utf-8")
    blocks = re.findall(r"^```(?:sh|console|bash|)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    found = []
    for line in lines:
        match = re.match(rf"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?{program} (.*)", line)
        if match:
            found.append(match[1])
    return found


def cases(program: str) -> list[tuple[str, str]]:
    return [(document.name, line) for document in DOCUMENTS for line in typed(document, program)]


def test_the_table_of_settings_is_that_of_the_program() -> None:
    for variable, default, meaning in settings_rows():
        shown = f"`{default}`" if default else ""
        assert f"| `{variable}` | {shown} | {meaning} |" in README, (
            "make it anew with: python -m services.cli.formats.settings"
        )


def test_no_setting_is_told_of_that_does_not_exist() -> None:
    of_tests = {"FACES_TEST_POSTGRES_URL", "FACES_TEST_REDIS_SERVER"}
    known = {variable for variable, _, _ in settings_rows()} | of_tests
    for document in DOCUMENTS:
        assert set(re.findall(r"\bFACES_[A-Z_]+\b", document.read_text("utf-8"))) <= known, document


@pytest.mark.parametrize(("document", "line"), cases("faces"))
def test_every_faces_command_has_the_flags_that_are_told(document: str, line: str) -> None:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        pytest.fail(f"{document}: {line!r} cannot be typed like this")
    command = ROOT
    while words and words[0] in (names := getattr(command, "commands", {})):
        command = names[words.pop(0)]
    assert (
        not getattr(command, "commands", None)
        or not words
        or words[0].startswith("-")
        or ("|" in line)
    ), f"{document}: there is no command {line!r}"
    flags = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for word in words:
        if word in ("|", ">", "&&", ";"):
            break
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in flags | {"--help", "-h"}, f"{document}: {line!r}"


@pytest.mark.parametrize(("document", "line"), cases("make"))
def test_every_make_target_exists(document: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if "=" not in word]
    assert words and words[0] in make_targets(), f"{document}: make {line}"


def test_the_readme_shows_both_commands_and_the_picture_is_there() -> None:
    assert "make demo" in README and "make test" in README
    for target in re.findall(r"!\[[^]]*]\(([^)]+)\)", README):
        assert (PROJECT / target).is_file(), target
