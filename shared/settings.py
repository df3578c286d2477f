"""Every setting of the suite: one class, read from `FACES_*`; a wrong value ends at once."""

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.contradictions import contradictions
from shared.errors import SettingsError
from shared.model_table import MODELS
from shared.urls import check_bucket, check_store, is_bucket

MEBIBYTE = 1 << 20
DAY_SECONDS = 86_400

MOST = 1 << 50
"""For counts and sizes without a bound of their own: Lua and JSON hold it exactly."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LogFormat(StrEnum):
    """How log lines are written; `auto` is readable on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class PicturesBy(StrEnum):
    """Which service puts annotated pictures into the object store.

    `detector` moves no pixels through Redis, but every detector must reach the store (a bucket,
    a folder on this host, a ReadWriteMany volume). `writer` asks that of the writer alone.
    """

    DETECTOR = "detector"
    WRITER = "writer"


class Settings(BaseSettings):
    """The settings, with their documentation; the README's table is made from this class."""

    model_config = SettingsConfigDict(
        env_prefix="FACES_",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey: `redis://`, `rediss://` (TLS), `unix://`, or through "
        "Sentinel `redis+sentinel://host,host,host/name/0` (`rediss+sentinel://`).",
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite:///faces.db"),
        description="Catalog, as an SQLAlchemy URL: `sqlite:///file` on one host, "
        "`postgresql://user:password@host/name` for more than one.",
    )
    objects_url: str = Field(
        "file://./objects",
        description="Where annotated pictures are kept: `file://`, `s3://`, `gs://`, `az://`.",
    )
    pictures_by: PicturesBy = Field(
        PicturesBy.WRITER,
        description="Who puts pictures into the object store: `writer`, or `detector` where "
        "every detector reaches the store (then no pixels pass through Redis).",
    )
    prefix: str = Field(
        "faces",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Prefix of all Redis keys; several suites can share one Redis.",
    )
    model: str = Field("yunet", description="Face detection model: see `faces models list`.")
    models_dir: Path = Field(
        Path("models"), description="Folder with the models' weights; `faces models pull` fills it."
    )
    slots: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Detector processes; by default the CPU limit of the container, rounded down.",
    )
    slot_memory_bytes: int = Field(
        3 * 1024 * MEBIBYTE,
        ge=512 * MEBIBYTE,
        le=MOST,
        description="Address space of one detector process; what needs more fails alone.",
    )
    cell_required: bool = Field(
        False,
        description="Refuse to start where the kernel cannot confine detector processes in full "
        "(Landlock, seccomp, limits); by default it is logged what is missing.",
    )
    max_pixels: int = Field(
        120_000_000,
        ge=1,
        description="Pictures with more pixels fail before they are decoded.",
    )
    max_file_bytes: int = Field(
        256 * MEBIBYTE, ge=1, description="Files larger than this fail before they are read."
    )
    lease_seconds: float = Field(
        30,
        ge=1,
        le=3600,
        description="A consumer silent for this long loses its entries to others.",
    )
    task_timeout_seconds: float = Field(
        60,
        ge=1,
        le=DAY_SECONDS,
        description="Time limit of one picture; then its process is replaced.",
    )
    max_attempts: int = Field(
        3,
        ge=1,
        le=20,
        description="Attempts before an entry becomes a dead letter; of "
        "what takes longer than FACES_TASK_TIMEOUT_SECONDS at most 2.",
    )
    dead_letters: int = Field(
        10_000,
        ge=1,
        description="Dead letters kept: beyond that the oldest go. Together they may take an "
        "eighth of what images may: beyond that the oldest lose their pictures first.",
    )
    max_deliveries: int = Field(
        50,
        ge=2,
        le=MOST,
        description="Deliveries after which an entry is treated as poison: a dead letter.",
    )
    drain_seconds: float = Field(
        25,
        ge=0,
        le=DAY_SECONDS,
        description="After SIGTERM: time to finish and hand off what was started.",
    )
    high_water: int = Field(
        2000,
        ge=1,
        le=MOST,
        description="Entries at which a stream takes no more and its producers wait.",
    )
    high_water_bytes: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Bytes at which the image stream takes no more (results: half of it); by "
        "default half of Redis' maxmemory, or 1 GiB where Redis has no limit.",
    )
    inline_limit_bytes: int = Field(
        32 * MEBIBYTE,
        ge=1,
        le=512 * MEBIBYTE,
        description="Largest picture that may travel through Redis.",
    )
    source_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Folders below which pictures may be read by reference, joined by `:`; "
        "none by default.",
    )
    source_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Buckets, or folders in them, that may be read by reference, joined by `,`: "
        "`s3://bucket/folder`, `gs://`, `az://`; none by default.",
    )
    writer_batch: int = Field(
        500, ge=1, le=500, description="Most results committed in one transaction."
    )
    writer_linger_seconds: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Least time between two commits, unless a batch is full; a result that "
        "arrives alone is committed at once.",
    )
    take_unknown_results: bool = Field(
        False,
        description="Whether the writer takes results that no row of the catalog asked for, as "
        "after a restore from a backup; without it they become dead letters.",
    )
    http_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of the health and metrics port; 0.0.0.0 in the image.",
    )
    http_port: int = Field(
        0, ge=0, le=65535, description="Health and metrics port; 0 picks a free one."
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="`json`, `console`, or `auto`: console on a terminal."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )

    @field_validator("objects_url")
    @classmethod
    def _is_a_store(cls, url: str) -> str:
        check_store(url)
        return url

    @field_validator("model")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in MODELS:
            raise ValueError(f"there is no such model; choose one of {', '.join(MODELS)}")
        return name

    @field_validator("source_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("source_roots")
    @classmethod
    def _absolute_roots(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        absolute = tuple(root.resolve() for root in roots)
        for root in absolute:
            if root.is_file():  # what is not there may be mounted later
                raise ValueError(f"{root} is a file; name its folder")
        return absolute

    @field_validator("source_buckets", mode="before")
    @classmethod
    def _split_buckets(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("source_buckets")
    @classmethod
    def _only_buckets(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_bucket(url)
        return urls

    @field_validator("*", mode="before")
    @classmethod  # the last of its kind is called first, before values are taken apart
    def _one_line(cls, value: object) -> object:
        """A line break, as at the end of a file with a password, would become part of a name."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and _CONTROL.search(text):
            raise ValueError("there is a line break or another control character in it")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if found := contradictions(self):
            raise ValueError("; ".join(found))
        return self

    @property
    def store_reaches_all(self) -> bool:
        """Whether every service reaches the object store, not only the writer.

        What one service keeps there for another needs this: whatever is larger than may travel
        through Redis. It holds where detectors put pictures into the store
        (`FACES_PICTURES_BY=detector`), also into a folder that all of them share; and where the
        store is a bucket.
        """
        return self.pictures_by is PicturesBy.DETECTOR or is_bucket(self.objects_url)

    @classmethod
    def load(
        cls,
        overrides: Mapping[str, Any] | None = None,  # Any: any field's value
        flags: Mapping[str, str] | None = None,
    ) -> Self:
        """Read the environment; `overrides` (command line flags) win where they are not None.

        `flags` says what the flag of an override is called, for people.

        Raises:
            SettingsError: one line a wrong value, naming its variable, without its value.
        """
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        named = {name: flag for name, flag in (flags or {}).items() if name in given}
        try:
            return cls(**given)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise SettingsError("; ".join(_line(detail, named) for detail in details)) from None


def _line(detail: ErrorDetails, flags: Mapping[str, str]) -> str:
    told = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return told
    field = str(detail["loc"][0])
    variable = "_".join(["FACES", *map(str, detail["loc"])]).upper()
    return f"{flags[field]} ({variable}): {told}" if field in flags else f"{variable}: {told}"
