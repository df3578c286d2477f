"""Parquet, for `faces results`: a row an image, its faces as a list in it. Needs pyarrow."""

import io
from collections.abc import AsyncIterator
from dataclasses import fields
from types import ModuleType
from typing import Any, BinaryIO, TextIO

from shared.catalog import ImageRow
from shared.errors import FacesError
from shared.messages import Face

ROW_GROUP = 5_000
"""Images held in memory at a time, and written together."""

TYPES = {
    "generation": "int32",
    "width": "int32",
    "height": "int32",
    "face_count": "int32",
    "attempts": "int32",
    "bytes": "int64",
    "detect_ms": "float64",
    "pages": "int32",
    "annotated_page": "int32",
    "drawing": "int32",
    "taken_at": "string",
}
"""Columns that are not text; those others that end in `_at` are times."""


async def write_parquet(rows: AsyncIterator[ImageRow], out: TextIO) -> int:
    """Write all rows; how many images there were.

    Raises:
        FacesError: pyarrow is not installed, or `out` is a terminal.
    """
    if out.isatty():
        raise FacesError("parquet is not for a terminal: add > FILE to the command")
    arrow, parquet = _pyarrow()
    schema = _schema(arrow)
    count = 0
    group: list[dict[str, object]] = []
    with (
        arrow.PythonFile(_Kept(out.buffer), mode="w") as sink,
        parquet.ParquetWriter(sink, schema, compression="zstd") as writer,
    ):
        async for row in rows:
            count += 1
            group.append(_values(row))
            if len(group) == ROW_GROUP:
                writer.write_batch(arrow.RecordBatch.from_pylist(group, schema=schema))
                group = []
        if group:
            writer.write_batch(arrow.RecordBatch.from_pylist(group, schema=schema))
    out.buffer.flush()
    return count


class _Kept(io.RawIOBase):
    """A file that stays open when pyarrow closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:  # Any: whatever has a buffer
        return self._file.write(content)


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise FacesError(
            "--format parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    return pyarrow, pyarrow.parquet


def _columns() -> list[str]:
    return [
        field.name
        for field in fields(ImageRow)
        if field.name not in ("cursor", "searched", "faces")
    ]


def _schema(arrow: ModuleType) -> Any:  # Any: pyarrow has no types
    face = arrow.struct(
        [
            (
                name,
                arrow.list_(arrow.float32())
                if name == "landmarks"
                else "int32"
                if name == "page"
                else "float32",
            )
            for name in Face.model_fields
        ]
    )
    time = arrow.timestamp("us", tz="UTC")
    columns = [
        (name, TYPES.get(name) or (time if name.endswith("_at") else "string"))
        for name in _columns()
    ]
    return arrow.schema([*columns, ("faces", arrow.list_(face))])


def _values(row: ImageRow) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(row, name) for name in _columns()}
    values["status"] = row.status.value
    values["faces"] = [face.model_dump() for face in row.faces]
    return values
