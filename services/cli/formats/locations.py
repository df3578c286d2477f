"""Where exported pictures lie below one folder, so that a name stands for one picture only."""

from urllib.parse import unquote_to_bytes

from services.cli.formats.registry import Rows
from shared.catalog import ImageRow


async def common_root(rows: Rows) -> str:
    """The folder that holds the sources of all rows, as a URI that ends in `/`; '' where none does.

    Of pictures that were sent along with their bytes nobody knows where they lie.
    """
    root: str | None = None
    async for row in rows(False):
        if row.source_uri is not None:
            root = _folder(row.source_uri) if root is None else _shared(root, row.source_uri)
    return root or ""


def file_name(row: ImageRow, root: str) -> str:
    """A name that no other row has: the path below `root`, or the URI of what is not there.

    What has neither (a picture that was sent along) has its own name and its id; an older row of a
    source has its path, its id and its recipe.
    """
    if row.source_uri is None:
        name = f"{row.name}#{row.id}"
    elif root and row.source_uri.startswith(root):
        name = _decoded(row.source_uri[len(root) :])
    else:
        name = row.source_uri
    if row.current:
        return name
    return f"{name}#{row.id}-{row.recipe}" if row.source_uri else f"{name}-{row.recipe}"


def _shared(root: str, uri: str) -> str:
    while not uri.startswith(root):
        root = _folder(root.removesuffix("/"))
    return root


def _folder(uri: str) -> str:
    """The folder that a URI lies in; '' above its host or bucket."""
    above = uri.rpartition("/")[0] + "/"
    place = above.partition("://")[2]
    return above if place and (place == "/" or place.strip("/")) else ""


def _decoded(path: str) -> str:
    """A path as people write it; one that is no text stays encoded."""
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return path
