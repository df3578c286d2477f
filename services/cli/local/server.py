"""The private server of an output folder: that of a run going on there, or started for a moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.cli.local.embedded import EmbeddedValkey, running_url
from services.cli.outdir.lock import hold
from services.cli.outdir.private import PRIVATE
from services.cli.talk import say
from shared.errors import FacesError


@asynccontextmanager
async def server_of(out: Path) -> AsyncIterator[str]:
    """URL of the server that holds what runs left in `out`.

    Raises:
        FacesError: no run was ever made there, or by another user.
    """
    url = running_url(out)
    if url is not None:
        yield url
        return
    private = out / PRIVATE
    if not (private / "appendonlydir").is_dir():
        raise FacesError(f"no `faces run` with a server of its own was made in {out}")
    with hold(out, say):
        valkey = EmbeddedValkey(private)
        valkey.start()
        try:
            yield await valkey.ready()
        finally:
            valkey.stop()
