"""Which formats there are: one entry each. `--format` and `--sidecar` take their names from here.

Modules are named and not imported, so that `--help` loads none of them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TextIO, TypeVar, cast

if TYPE_CHECKING:
    from shared.catalog import ImageRow

Rows = Callable[[bool], "AsyncIterator[ImageRow]"]
"""Gives all rows anew at each call; the argument says whether with their faces."""

Writer = Callable[[Rows, TextIO], Awaitable[int]]
"""Writes all rows, one by one, so that a catalog of any size fits; how many images there were."""

Sidecar = Callable[["ImageRow"], bytes]
"""The content of a file that lies beside a picture."""

F = TypeVar("F")


@dataclass(frozen=True)
class Format(Generic[F]):
    """A format: its name, and the function that writes it, as `module:function` of this room."""

    name: str
    function: str

    def load(self) -> F:
        """The function."""
        module, _, function = self.function.partition(":")
        return cast("F", getattr(import_module(f"services.cli.formats.{module}"), function))


FORMATS: dict[str, Format[Writer]] = {
    one.name: one
    for one in (
        Format[Writer]("table", "table:write"),
        Format[Writer]("json", "json_text:write_array"),
        Format[Writer]("jsonl", "json_text:write_lines"),
        Format[Writer]("csv", "csv_text:write"),
        Format[Writer]("coco", "coco:write"),
        Format[Writer]("parquet", "parquet:write"),
    )
}
"""What `faces results --format` prints."""

RAW: dict[str, Format[Writer]] = {"csv": Format[Writer]("csv", "csv_text:write_raw")}
"""What `--raw` prints instead: texts as they are, also what spreadsheets take for a formula."""

SIDECARS: dict[str, Format[Sidecar]] = {
    one.name: one
    for one in (
        Format[Sidecar]("json", "json_text:sidecar"),
        Format[Sidecar]("xmp", "xmp:sidecar"),
    )
}
"""What `--sidecar` writes; the name is the file's suffix, too."""
