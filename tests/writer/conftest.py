"""Writers on catalogs of both kinds, for all tests of this room."""

from tests.support.catalogs import _own_database, catalog, catalog_url, empty_postgres
from tests.support.writers import objects, payloads, writer

__all__ = [
    "_own_database",
    "catalog",
    "catalog_url",
    "empty_postgres",
    "objects",
    "payloads",
    "writer",
]
