"""What a walk makes of links: of those that were there, and of those that appear meanwhile."""

import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.ingest.sources.walk import LEADS_OUTSIDE, Visited, Walk
from shared.reasons import Reason
from tests.ingest.test_walk import touch

ANYTHING = 100_000


def walk_of(root: Path, after: bytes = b"", **how: object) -> Walk:
    return Walk(os.fsencode(root), after, **how)  # type: ignore[arg-type]  # each test's own


def everywhere(_path: bytes) -> bool:
    return True


def paths(walk: Walk) -> list[bytes]:
    return [visit.path for visit in walk.take(ANYTHING)]


def test_a_link_to_a_file_outside_is_refused_and_nothing_of_that_is_told(tmp_path: Path) -> None:
    touch(tmp_path, b"in/a.jpg", b"in/sub/b.jpg", b"private.jpg")
    (tmp_path / "in" / "inside.jpg").symlink_to("sub/b.jpg")
    (tmp_path / "in" / "outside.jpg").symlink_to(tmp_path / "private.jpg")
    (tmp_path / "in" / "missing.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "in" / "dangling.jpg").symlink_to("gone.jpg")
    visits = {visit.path: visit for visit in walk_of(tmp_path / "in").take(ANYTHING)}
    assert visits[b"outside.jpg"] == Visited(b"outside.jpg", LEADS_OUTSIDE)
    assert visits[b"missing.jpg"] == Visited(b"missing.jpg", LEADS_OUTSIDE)
    assert visits[b"outside.jpg"].status is None
    problem = visits[b"dangling.jpg"].problem
    assert problem is not None and problem.reason is Reason.GONE
    inside, b = visits[b"inside.jpg"].status, visits[b"sub/b.jpg"].status
    assert inside is not None and b is not None and inside.st_ino == b.st_ino


def test_links_to_folders_outside_are_counted_and_those_to_what_is_walked_anyway_are_not(
    tmp_path: Path,
) -> None:
    touch(tmp_path, b"in/a/1.jpg", b"in/.hidden/2.jpg", b"in/out/3.jpg", b"album/4.jpg")
    for name, target in {"l1": "../album", "l2": ".hidden", "l3": "a", "l4": "out"}.items():
        (tmp_path / "in" / name).symlink_to(target)
    walk = walk_of(tmp_path / "in", excluded=frozenset({b"out"}))
    assert paths(walk) == [b"a/1.jpg"]
    assert walk.passed_over["link"] == 2
    following = walk_of(
        tmp_path / "in", excluded=frozenset({b"out"}), may_read=everywhere, follow_links=True
    )
    assert paths(following) == [b"a/1.jpg", b"l1/4.jpg", b"l2/2.jpg"]
    assert following.passed_over["link"] == 0


def test_followed_links_lead_to_each_folder_once_and_circles_end(tmp_path: Path) -> None:
    touch(tmp_path, b"top/in/a.jpg", b"top/beside/b.jpg", b"far/c.jpg", b"top/own/annotated/d.jpg")
    (tmp_path / "top" / "in" / "up").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "in" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "top" / "in" / "far2").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "top" / "in")
    (tmp_path / "far" / "self").symlink_to(tmp_path / "far")

    def walking(after: bytes = b"") -> Walk:
        own = frozenset({b"../own"})
        root = tmp_path / "top" / "in"
        return walk_of(root, after, excluded=own, may_read=everywhere, follow_links=True)

    walked = paths(walking())
    assert walked == [b"a.jpg", b"far/c.jpg", b"up/beside/b.jpg"]
    for position in walked:
        assert paths(walking(position)) == walked[walked.index(position) + 1 :]


def test_links_are_followed_only_to_what_may_be_read(tmp_path: Path) -> None:
    touch(tmp_path, b"in/a.jpg", b"allowed/b.jpg", b"other/c.jpg", b"other/d.jpg")
    for name in ("allowed", "other"):
        (tmp_path / "in" / name).symlink_to(tmp_path / name)
    (tmp_path / "in" / "d.jpg").symlink_to(tmp_path / "other" / "d.jpg")
    allowed = [os.fsencode(tmp_path / name) for name in ("in", "allowed")]
    walk = walk_of(
        tmp_path / "in",
        may_read=lambda path: any(path.startswith(one) for one in allowed),
        follow_links=True,
    )
    assert walk.take(9) == [
        Visited(b"a.jpg"), Visited(b"allowed/b.jpg"), Visited(b"d.jpg", LEADS_OUTSIDE),
    ]  # fmt: skip
    assert walk.passed_over["link"] == 1


@contextmanager
def exchanging(folder: Path, other: Path) -> Iterator[None]:
    """As long as the block lasts, a folder is exchanged for a link to another and back."""
    aside, link, done = folder.with_name("aside"), folder.with_name("link"), threading.Event()
    link.symlink_to(other)

    def exchange() -> None:
        while not done.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_folder_exchanged_for_a_link_while_it_is_walked_names_nothing_outside(
    tmp_path: Path,
) -> None:
    touch(tmp_path, *(b"in/album/%d.jpg" % n for n in range(20)), b"in/z.jpg")
    touch(tmp_path, *(b"private/secret-%d.jpg" % n for n in range(20)))
    (tmp_path / "private" / "1.jpg").write_bytes(b"private")  # of a name that is inside as well
    with exchanging(tmp_path / "in" / "album", tmp_path / "private"):
        for _ in range(200):
            for visit in walk_of(tmp_path / "in").take(ANYTHING):
                assert b"secret" not in visit.path
                assert visit.status is None or visit.status.st_size == 0


@pytest.mark.parametrize("taken", [1, 2])
def test_a_folder_exchanged_between_two_steps_names_nothing_outside(
    tmp_path: Path, taken: int
) -> None:
    """Before it is listed, and between that and the look at what is in it."""
    touch(tmp_path, b"in/a.jpg", b"in/album/1.jpg", b"in/album/2.jpg", b"in/z.jpg")
    touch(tmp_path, b"private/2.jpg", b"private/secret.jpg")
    walk = walk_of(tmp_path / "in")
    walk.take(taken)
    (tmp_path / "in" / "album").rename(tmp_path / "aside")
    (tmp_path / "in" / "album").symlink_to(tmp_path / "private")
    *problems, last = walk.take(9)
    assert last == Visited(b"z.jpg") and problems
    assert {visit.path for visit in problems} <= {b"album/", b"album/2.jpg"}
    assert all(visit.problem and visit.status is None for visit in problems)


def test_a_root_exchanged_for_a_link_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, b"a/in/1.jpg", b"b/in/2.jpg")
    walk = walk_of(tmp_path / "a" / "in")
    (tmp_path / "a").rename(tmp_path / "moved")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (visit,) = walk.take(9)
    assert visit.path == b"./" and visit.problem is not None


@pytest.fixture
def deep_tree(tmp_path: Path) -> Iterator[Path]:
    """A folder for folders so deep that only `rm` deletes them."""
    yield tmp_path
    subprocess.run(["rm", "-rf", "--", tmp_path / "d"], check=True)


def test_a_tree_of_any_depth_takes_few_descriptors(deep_tree: Path) -> None:
    depth, tmp_path = 1000, deep_tree
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for n in range(depth):  # name by name: the whole path is longer than a call takes
        os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        assert n < depth
    os.close(descriptor)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 6, hard))
    try:
        walk = walk_of(tmp_path)
        found = [visit for _ in range(12) for visit in walk.take(100)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [visit.path for visit in found] == [b"d/" * n + b"x.jpg" for n in reversed(range(depth))]
    assert not any(visit.problem for visit in found)


@pytest.mark.parametrize("after", [b"", b"a/1.jpg"])
def test_nothing_is_open_between_two_steps(tmp_path: Path, after: bytes) -> None:
    touch(tmp_path, b"a/1.jpg", b"a/2.jpg", b"b/3.jpg")
    before = set(os.listdir("/proc/self/fd"))
    walk = walk_of(tmp_path, after)
    walk.take(1)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_link_to_a_folder_is_counted_once_wherever_the_walk_goes_on_elsewhere(
    tmp_path: Path, follow_links: bool
) -> None:
    touch(tmp_path, b"in/b.jpg", b"in/d/1.jpg", b"in/d/3.jpg", b"in/f.jpg", b"out/x.jpg")
    for link in ("a", "c", "d/0", "d/2", "d/4", "e", "g"):
        (tmp_path / "in" / link).symlink_to(tmp_path / "out")
    walk = walk_of(tmp_path / "in", follow_links=follow_links)
    walked, counted = paths(walk), walk.passed_over["link"]
    assert (len(walked), counted) == (4, 7)
    for position in walked:
        before = walk_of(tmp_path / "in", follow_links=follow_links)
        before.take(walked.index(position) + 1)
        after = walk_of(tmp_path / "in", position, follow_links=follow_links)
        assert paths(after) == walked[walked.index(position) + 1 :]
        assert before.passed_over["link"] + after.passed_over["link"] == counted


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_step_is_taken_once_more_as_it_is_now(tmp_path: Path, follow_links: bool) -> None:
    touch(tmp_path, b"in/a/1.jpg", b"in/a/2.jpg", b"in/c.jpg", b"far/3.jpg", b"far/4.jpg")
    (tmp_path / "in" / "b").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "in")

    def walking() -> Walk:
        return walk_of(tmp_path / "in", may_read=everywhere, follow_links=follow_links)

    walked = paths(walking())
    for first in range(1, len(walked)):
        walk = walking()
        before = [visit.path for visit in walk.take(first)]
        walk.take(2)
        walk.step_back()
        assert before + paths(walk) == walked
    walk = walking()
    walk.take(1)
    walk.take(1)
    (tmp_path / "in" / "a" / "2.jpg").rename(tmp_path / "in" / "a" / "3.jpg")
    walk.step_back()
    assert walk.take(1) == [Visited(b"a/3.jpg")]
