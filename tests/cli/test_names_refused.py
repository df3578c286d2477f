"""A result whose name the disk refuses gets another, or a reason; all others get theirs.

The disk is one with the rules of exFAT, by refusing names where the system would; and a real one
where this machine may mount it.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from bench.samples import samples
from services.cli.outdir.names import NAME_LIMIT, other_names, result_path
from services.cli.outdir.record import Record
from services.cli.outdir.sidecars import write_sidecar
from shared.folders.folder import Folder
from tests.cli.test_layout import Tree, inside
from tests.support.faces_command import Faces

FACE = dict(samples())["portrait/as it is.jpg"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    yield tree
    tree.close()


class Disk:
    """Refuses names as a disk does, with an error of its own; and hard links, if told so."""

    def __init__(self, patch: pytest.MonkeyPatch, code: int = errno.EINVAL) -> None:
        self.code = code
        self.has_links = True
        self.refuses_all: int | None = None
        self.refused: tuple[bytes, ...] = tuple(bytes([sign]) for sign in b'"*:<>?\\|')
        self.judges: tuple[str, ...] = ("link", "rename", "mkdir", "open", "stat")
        for name in ("link", "rename", "mkdir", "open", "stat"):
            patch.setattr(os, name, self._judging(name, getattr(os, name)))

    def _judging(self, call: str, real):  # type: ignore[no-untyped-def]  # as each of `os` is
        def judged(*arguments, **options):  # type: ignore[no-untyped-def]
            is_new = call in ("link", "rename", "mkdir") or bool(
                call == "open" and len(arguments) > 1 and arguments[1] & os.O_CREAT
            )
            if is_new and self.refuses_all is not None:
                raise OSError(self.refuses_all, os.strerror(self.refuses_all))
            if call == "link" and not self.has_links:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            name = arguments[1 if call in ("link", "rename") else 0]
            is_judged = call in self.judges and isinstance(name, bytes)
            if is_judged and any(part in name for part in self.refused):
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **options)

        return judged


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOENT, errno.EILSEQ, errno.ENAMETOOLONG])
def test_a_name_that_the_disk_refuses_gives_way_to_one_with_the_id_and_the_rest_keep_theirs(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, code: int, has_links: bool
) -> None:
    names = (b"a:b.jpg", b"a?b.jpg", b"sub:x/y.jpg", b"z.jpg")
    pictures = [tree.found(inside(tree, name)) for name in names]
    disk = Disk(monkeypatch, code)
    disk.has_links = has_links
    assert tree.layout.place(pictures) == 4
    first, second, third, _ = (picture.id[:8] for picture in pictures)
    assert tree.names() == {
        f"a_b-{first}.jpg",
        f"a_b-{second}.jpg",
        f"sub_x/y-{third}.jpg",
        "z.jpg",
    }
    assert tree.layout.renamed == {picture.id for picture in pictures[:3]}
    assert tree.layout.not_placed == {}
    assert tree.layout.place(pictures) == 0, "they are where they were placed"


def test_where_no_name_does_the_reason_is_kept_and_the_rest_are_placed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = tree.found(inside(tree, b"bad.jpg")), tree.found(inside(tree, b"good.jpg"))
    disk = Disk(monkeypatch)
    disk.refused = (b"bad", bad.id.encode())
    disk.judges = ("link", "rename")  # its object has its id for a name
    assert tree.layout.place([bad, good]) == 1
    assert tree.names() == {"good.jpg"}
    assert tree.layout.refusals == {os.strerror(errno.EINVAL): 1}
    disk.refused = ()
    assert tree.layout.place([bad, good]) == 1
    assert not tree.layout.refusals, "the next run has another look"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_a_disk_says_of_every_name_ends_the_run(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    tree.annotated.mkdir()
    Disk(monkeypatch).refuses_all = code
    with pytest.raises(OSError, match=os.strerror(code)):
        tree.layout.place([tree.found(inside(tree, b"a.jpg"))])


def test_a_name_that_was_placed_before_out_came_to_such_a_disk_is_given_anew(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tree.found(inside(tree, b"a:b.jpg"))
    tree.layout.place([picture])
    (tree.annotated / "a:b.jpg").unlink()
    Disk(monkeypatch)
    assert tree.layout.place([picture]) == 1
    assert tree.names() == {f"a_b-{picture.id[:8]}.jpg"}


def test_a_path_that_programs_could_not_open_is_shortened(tree: Tree) -> None:
    deep = b"/".join([b"d" * 200] * 21) + b"/x.jpg"
    picture, other = tree.found(inside(tree, deep)), tree.found(inside(tree, b"z.jpg"))
    tree.layout.place([picture, other])
    placed = [path for path in tree.annotated.rglob("*.jpg") if path.name != "z.jpg"]
    assert [path.name for path in placed] == [f"x-{picture.id[:8]}.jpg"]
    assert tree.layout.renamed == {picture.id}


def test_the_last_names_are_ones_that_every_disk_has() -> None:
    path = PurePosixPath('CON/a<b> /aux.txt/q"?.jpg')
    *portable, last = map(str, other_names(path, "0123456789abcdef"))
    assert portable[1:] == [
        "_CON/a_b__/_aux.txt/q__-01234567.jpg",
        "q__-01234567.jpg",
    ]
    assert last == "0123456789abcdef.jpg"


@pytest.mark.parametrize("length", range(230, NAME_LIMIT + 1))
def test_behind_every_name_there_is_room_for_an_id_and_a_sidecar(tree: Tree, length: int) -> None:
    name = b"n" * (length - 4) + b".png"
    path = result_path(name, "0123456789abcdef")
    assert len(path.name) + len(".json") <= NAME_LIMIT
    picture = tree.found(inside(tree, name))
    tree.layout.place([picture])
    (placed,) = tree.names()
    with (
        Record.open(tree.folder / "out" / "layout.db") as record,
        Folder.open(tree.annotated) as folder,
    ):
        write_sidecar(folder, record, placed, ".json", b"{}")
    assert (tree.annotated / f"{placed}.json").is_file()


def test_a_locale_that_is_not_utf_8_keeps_the_names(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("é🙂.jpg", "z.jpg"):
        (photos / name).write_bytes(FACE)
    faces = Faces(tmp_path, FACES_MODEL="haar", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = faces("run", "photos", "-o", "out", "--sidecar", "xmp")
    assert done.returncode == 0, done.stderr
    placed = {path.name for path in (tmp_path / "out" / "annotated").iterdir()}
    assert placed == {"é🙂.jpg", "é🙂.jpg.xmp", "z.jpg", "z.jpg.xmp"}
    listed = faces("results", "-o", "out")
    assert (listed.returncode, "z.jpg" in listed.stdout) == (0, True), listed.stderr


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    """A small disk of exFAT, by FUSE."""
    tools = ("mkfs.exfat", "mount.exfat-fuse", "losetup", "umount")
    if os.geteuid() or not all(map(shutil.which, tools)):
        pytest.skip("only root can mount exFAT, with exfatprogs and exfat-fuse")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 64 << 20)
    loop = subprocess.run(
        ["losetup", "-f", "--show", image], capture_output=True, text=True, check=False
    ).stdout.strip()
    if not loop:
        pytest.skip("this machine has no loop devices")
    try:
        subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
        mounted = subprocess.run(["mount.exfat-fuse", loop, folder], check=False).returncode == 0
        if not mounted:
            pytest.skip("this machine mounts nothing by FUSE")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


def test_on_a_real_exfat_all_are_placed_and_the_summary_says_which_got_other_names(
    tmp_path: Path, exfat: Path
) -> None:
    photos = tmp_path / "photos"
    for name in ("a:b.jpg", "z.jpg", "Z.jpg", "sub:x/y.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(FACE + name.encode())
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", "photos", "-o", exfat / "out", "--sidecar", "xmp")
    assert done.returncode == 0, done.stderr
    assert "2 results under another name" in done.stdout
    placed = [path for path in (exfat / "out" / "annotated").rglob("*.jpg") if path.is_file()]
    assert len(placed) == 4
    again = faces("run", "photos", "-o", exfat / "out")
    assert again.returncode == 0, again.stderr
    assert "4 were finished by an earlier run" in again.stdout


def test_an_out_whose_own_path_is_too_long_is_refused_in_one_short_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FACE)
    out = Path(*["o" * 200] * 21)
    done = Faces(tmp_path, FACES_MODEL="haar")("run", "a.jpg", "-o", out)
    assert done.returncode == 2
    assert "the path of the output folder has 4," in done.stderr
    assert len(done.stderr) < 300
    assert not (tmp_path / ("o" * 200)).exists()
