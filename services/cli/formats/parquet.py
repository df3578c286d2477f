"""Parquet, for `faces results`: a row an image, its faces as a list in it. Needs pyarrow."""

import io
from datetime import datetime
from types import ModuleType, NoneType
from typing import Any, BinaryIO, TextIO, get_args, get_type_hints

from services.cli.formats.columns import COLUMNS, FACE_COLUMNS
from services.cli.formats.registry import Rows
from shared.catalog import ImageRow
from shared.errors import FacesError

ROW_GROUP = 5_000
"""Images held in memory at a time, and written together."""


async def write(rows: Rows, out: TextIO) -> int:
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
        async for row in rows(True):
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


def _schema(arrow: ModuleType) -> Any:  # Any: pyarrow has no types
    hints = get_type_hints(ImageRow)
    columns = [(name, _type(arrow, name, hints[name])) for name in COLUMNS]
    face = arrow.struct([(name, _type_in_face(arrow, name)) for name in FACE_COLUMNS])
    return arrow.schema([*columns, ("faces", arrow.list_(face))])


def _type(arrow: ModuleType, name: str, hint: object) -> Any:  # Any: as above
    """Of a column of images, by its type in `ImageRow`."""
    kinds = {kind for kind in get_args(hint) or (hint,) if kind is not NoneType}
    if kinds == {bool}:
        return arrow.bool_()
    if kinds == {int}:
        return arrow.int64() if name == "bytes" else arrow.int32()
    if kinds == {bool}:
        return arrow.bool_()
    if kinds == {float}:
        return arrow.float64()
    return arrow.timestamp("us", tz="UTC") if kinds == {datetime} else arrow.string()


def _type_in_face(arrow: ModuleType, name: str) -> Any:  # Any: as above
    if name == "landmarks":
        return arrow.list_(arrow.float32())
    return arrow.int32() if name == "page" else arrow.float32()


def _values(row: ImageRow) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(row, name) for name in COLUMNS}
    values["status"] = row.status.value
    values["faces"] = [face.model_dump() for face in row.faces]
    return values
