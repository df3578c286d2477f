"""Catalogs of both kinds, for all tests of this room."""

from tests.support.catalogs import _own_database, catalog, catalog_url, empty_postgres

__all__ = ["_own_database", "catalog", "catalog_url", "empty_postgres"]
