"""The settings as people read them: in `--help` of the services, and as README.md's table."""

from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from shared.settings import Settings


def settings_rows() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of every setting, in the order of the class."""
    return [
        (f"FACES_{name.upper()}", _shown(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def as_markdown() -> str:
    """The table of README.md."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for variable, default, meaning in settings_rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{variable}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def as_help() -> str:
    """A list for a terminal; Typer reads it as Markdown."""
    return "Settings:\n\n" + "\n".join(
        f"* `{variable}`" + (f" [{default}]" if default else "") + f" {meaning}"
        for variable, default, meaning in settings_rows()
    )


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, StrEnum | Path | str):
        return str(default)
    if default is None or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    print(as_markdown(), end="")
