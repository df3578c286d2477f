"""The tables of the catalog, one schema for SQLite and PostgreSQL.

`migrations.py` makes them; a test proves that what it makes is what is described here. Rows are
joined by small integer keys (`pk`); people and programs know an image by (id, recipe). The view
`faces` gives faces under that name.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import REAL, TIMESTAMP
from sqlalchemy.types import TypeEngine

metadata = MetaData()

SQLITE_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Fixed width, so that text sorts as time does; SQLite's own date functions read it."""


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC: `timestamptz` in PostgreSQL, text in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.strftime(SQLITE_TIME)

    def process_result_value(
        self, value: datetime | str | None, _dialect: Dialect
    ) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value.astimezone(UTC) if value is not None else None
        return datetime.strptime(value, SQLITE_TIME).replace(tzinfo=UTC)


COMPACT = Float().with_variant(REAL(), "postgresql")

submissions = Table(
    "submissions",
    metadata,
    Column("pk", BigInteger, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime, comment="when it had named its last image"),
    Column("cancelled_at", UtcTime),
    Column("parts", Integer, comment="how many, once that is known"),
    Column("parts_opened", Integer, nullable=False),
    Column("parts_closed", Integer, nullable=False),
    Column("named", BigInteger, nullable=False, comment="how many memberships it has"),
    Column("skipped", BigInteger, nullable=False, comment="of these, had ended when it named them"),
    Column("with_faces", BigInteger, nullable=False),
    Column("no_faces", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("faces", BigInteger, nullable=False),
)

parts = Table(
    "parts",
    metadata,
    Column("submission", BigInteger, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("uri", Text),
    Column("position", Text, nullable=False),
    Column("closed_at", UtcTime),
    Column("reason", Text, nullable=False, comment="why it failed, or empty"),
)

passed_over = Table(
    "passed_over",
    metadata,
    Column("submission", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True, comment="`link`, `excluded` or of a rule of folders"),
    Column("count", BigInteger, nullable=False),
    Column("example", Text, nullable=False, comment="the first such folder, or empty"),
)

recipes = Table(
    "recipes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("json", Text, nullable=False),
)

images = Table(
    "images",
    metadata,
    Column("pk", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("submission_id", Text, nullable=False, comment="the one that named it first"),
    Column("source_uri", Text),
    Column("source_version", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("bytes", BigInteger),
    Column("width", Integer),
    Column("height", Integer),
    Column("format", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("face_count", Integer, nullable=False),
    Column("best_score", COMPACT),
    Column("least_score", COMPACT),
    Column("annotated_uri", Text),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("consumer", Text, nullable=False),
    Column("queued_at", UtcTime, nullable=False),
    Column("detected_at", UtcTime),
    Column("committed_at", UtcTime),
    Column("detect_ms", COMPACT),
    Column("code", Text, comment="why it failed: a `shared.reasons.Reason`"),
    Column("taken_at", Text, comment="by the camera's clock, as `ResultMessage.taken_at`"),
    Column("camera", Text),
    Column("kind", Text, nullable=False, comment="a `shared.messages.Kind`"),
    Column("pages", Integer, nullable=False, comment="how many the file has"),
    Column("annotated_page", Integer),
    Column("drawing", Integer, comment="version of drawing that made the annotated picture"),
    Column("orientation", Integer, comment="of the stored pixels, 1 to 8, as EXIF counts"),
    Column("current", Integer, nullable=False, comment="a `shared.catalog.current.Currency`"),
    Column("cut", Boolean, nullable=False, comment="searched as far as it goes: it lacks its end"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("submission", BigInteger, primary_key=True),
    Column("image", BigInteger, primary_key=True),
)

found_faces = Table(
    "found_faces",
    metadata,
    Column("image", BigInteger, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("x", COMPACT, nullable=False),
    Column("y", COMPACT, nullable=False),
    Column("w", COMPACT, nullable=False),
    Column("h", COMPACT, nullable=False),
    Column("score", COMPACT, nullable=False),
    Column("landmarks", LargeBinary, comment="float32, little-endian: x, y pairs"),
    Column("page", Integer, comment="of a document, from 1"),
)

pages = Table(
    "pages",
    metadata,
    Column("image", BigInteger, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("width", Integer),
    Column("height", Integer),
    Column("reason", Text, nullable=False, comment="why it could not be searched, or empty"),
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("id", Text, primary_key=True),
    Column("recipe", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("forgotten_at", UtcTime, nullable=False),
    Column("cleared", Integer, nullable=False, comment="1 once its objects are deleted"),
)

same_as = Table(
    "same_as",
    metadata,
    Column("id", Text, primary_key=True, comment="what a version of a file would be known by"),
    Column("image", Text, nullable=False, comment="the id of the picture that it is"),
)
