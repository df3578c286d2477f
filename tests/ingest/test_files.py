"""Folders of which files are named."""

import os
import threading
from pathlib import Path

import pytest

from services.ingest.sources.files import FileSource
from services.ingest.sources.source import SourceAway
from shared.messages import SourceKind, SourceMessage, new_token
from shared.stores.mounts import MountedFolder
from shared.urls import file_uri
from tests.support.stages import RECIPE


async def test_a_folder_that_hangs_keeps_one_thread_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("shared.stores.patience.SIGN_SECONDS", 0.1)
    hang, hung = threading.Event(), set[int]()

    def hangs(*_: object) -> None:
        hung.add(threading.get_ident())
        hang.wait()

    monkeypatch.setattr(MountedFolder, "see", hangs)
    monkeypatch.setattr(FileSource, "_step", hangs)
    root = file_uri(os.fsencode(tmp_path))
    source = FileSource([root])
    message = SourceMessage(
        submission=new_token(),
        trace=new_token(),
        recipe=RECIPE,
        kind=SourceKind.FILES,
        part=0,
        uri=root,
    )
    for _ in range(5):
        with pytest.raises(SourceAway, match="does not answer"):
            await source.step(message)
    assert len(hung) == 1
    hang.set()
