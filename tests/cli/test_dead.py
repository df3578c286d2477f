"""`faces dead`: what was given up is listed, shown, put back under a new generation, or dropped."""

import json
from pathlib import Path

import pytest
import redis

from shared.catalog import Catalog, Expansion, QueuedImage
from shared.messages import ImageMessage, Payload, ResultMessage, Status, new_token, now
from shared.reasons import Reason
from shared.recipe import Recipe
from tests.support.entries import only_entry_in
from tests.support.faces_command import Faces

RECIPE = Recipe(model="haar", model_version="opencv4")
DEAD = "{faces}:dead"
HISTORY = [{"at": "2026-01-01T00:00:00Z", "consumer": "host-1", "reason": "too slow"}]


class Suite:
    """A server with one dead picture, and the catalog in which it has failed."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.client = redis.Redis.from_url(redis_url)
        self.database = f"sqlite:///{folder}/faces.db"
        self.faces = Faces(folder, FACES_REDIS_URL=redis_url, FACES_DATABASE_URL=self.database)
        self.payload = Payload.of(b"picture")
        self.message = ImageMessage(
            submission=new_token(),
            trace=new_token(),
            recipe=RECIPE,
            id=new_token(),
            name="slow.jpg",
            payload=self.payload,
        )
        self.client.set(f"{{faces}}:body:{self.payload.id}", b"picture")
        self.id = self.die(self.message.encode(), "no end after 60 s", Reason.TIMEOUT)

    def die(self, encoded: bytes, reason: str, code: Reason | None = None) -> str:
        """A dead letter, as a failed attempt leaves it; one of version 1 has no code."""
        fields = {
            "m": encoded,
            "n": 300,
            "stream": "{faces}:images",
            "reason": reason,
            "history": json.dumps(HISTORY),
        }
        if code is not None:
            fields["code"] = code.value
        entry = self.client.xadd(DEAD, fields)  # type: ignore[arg-type]
        return entry.decode()  # type: ignore[union-attr]

    async def open_catalog(self) -> Catalog:
        return await Catalog.open(self.database)

    async def record_failure(self) -> None:
        """The row, queued and then failed, as the writer leaves it."""
        catalog, message = await self.open_catalog(), self.message
        queued = QueuedImage(message.id, message.name)
        moment = now()
        await catalog.ledger.queue(
            Expansion(message.submission, "", moment, 0, None, RECIPE, "", None, [queued])
        )
        failed = ResultMessage(
            submission=message.submission,
            trace=message.trace,
            recipe=RECIPE,
            id=message.id,
            name=message.name,
            status=Status.FAILED,
            reason="no end after 60 s",
        )
        await catalog.ledger.commit([failed])
        await catalog.close()

    async def row(self) -> tuple[Status, int]:
        catalog = await self.open_catalog()
        (row,) = await catalog.reader.show(self.message.id)
        await catalog.close()
        return row.status, row.generation


@pytest.fixture
def suite(redis_url: str, tmp_path: Path) -> Suite:
    return Suite(redis_url, tmp_path)


def test_a_list_has_what_it_is_about_and_counts_of_reasons(suite: Suite) -> None:
    suite.die(b"no message at all", "not a message")
    listed = suite.faces("dead", "list").stdout
    assert suite.id in listed and "slow.jpg" in listed
    assert "      1  no end after 60 s" in listed
    only = suite.faces("dead", "list", "--reason", "NOT A", "--json").stdout
    assert [json.loads(line)["reason"] for line in only.splitlines()] == ["not a message"]
    assert suite.faces("dead", "list", "--older-than", "1h").stdout == "no dead letters\n"


def test_a_list_shows_codes_and_counts_by_them(suite: Suite) -> None:
    suite.die(suite.message.encode(), "no end after 61 s", Reason.TIMEOUT)
    suite.die(b"", "it ended its process", Reason.CRASH)
    listed = suite.faces("dead", "list").stdout
    assert "    timeout: no end after 60 s\n" in listed
    assert "      2  timeout\n" in listed and "      1  crash\n" in listed
    told = suite.faces("dead", "list", "--json").stdout.splitlines()
    assert [json.loads(line)["code"] for line in told] == ["timeout", "timeout", "crash"]
    assert "code:    timeout" in suite.faces("dead", "show", suite.id).stdout


def test_a_code_says_which_are_meant(suite: Suite) -> None:
    suite.die(b"", "the detector's process ended", Reason.CRASH)
    only = suite.faces("dead", "list", "--reason", "crash", "--json").stdout
    assert [json.loads(line)["code"] for line in only.splitlines()] == ["crash"]
    assert suite.faces("dead", "drop", "--reason", "timeout").stdout == "1 dropped\n"
    assert suite.client.xlen(DEAD) == 1


async def test_a_retry_by_code_puts_back_only_those(suite: Suite) -> None:
    await suite.record_failure()
    suite.die(b"", "the detector's process ended", Reason.CRASH)
    done = suite.faces("dead", "retry", "--reason", "timeout")
    assert done.stdout == "1 put back\n", done.stderr
    assert suite.client.xlen(DEAD) == 1


@pytest.mark.parametrize("command", ["list", "retry", "drop"])
async def test_a_reason_that_fits_nothing_is_answered_with_those_there_are(
    suite: Suite, command: str
) -> None:
    await suite.record_failure()
    for _ in range(2):
        suite.die(b"", "the store answers 403", Reason.STORE_REFUSED)
    done = suite.faces("dead", command, "--reason", "time_out")
    assert done.returncode == 0
    assert done.stderr == (
        "no dead letter fits --reason 'time_out'; there are: store_refused (2), timeout (1)\n"
    )
    assert suite.client.xlen(DEAD) == 3
    fits = suite.faces("dead", command, "--reason", "timeout")
    assert "no dead letter fits" not in fits.stderr


def test_one_is_shown_with_every_attempt(suite: Suite) -> None:
    shown = suite.faces("dead", "show", suite.id).stdout
    assert "slow.jpg" in shown
    assert "attempt 1: 2026-01-01T00:00:00Z  host-1  too slow" in shown
    missing = suite.faces("dead", "show", "1-1")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


async def test_a_retry_puts_it_back_under_the_next_generation(suite: Suite) -> None:
    await suite.record_failure()
    done = suite.faces("dead", "retry", suite.id)
    assert done.stdout == "1 put back\n", done.stderr
    assert await suite.row() == (Status.QUEUED, 2)
    _, fields = only_entry_in(suite.client.xrange("{faces}:images"))
    again = ImageMessage.decode(fields[b"m"])
    assert (again.id, again.generation) == (suite.message.id, 2)
    assert suite.client.get(f"{{faces}}:body:{suite.payload.id}") == b"picture"
    assert suite.client.xlen(DEAD) == 0


async def test_a_retry_leaves_what_the_catalog_does_not_know_or_nobody_can_read(
    suite: Suite,
) -> None:
    await (await suite.open_catalog()).close()
    suite.die(b"no message at all", "not a message")
    done = suite.faces("dead", "retry", "--all")
    assert done.stdout == "0 put back\n"
    assert "no row of it any more" in done.stderr
    assert "no message that can be read" in done.stderr
    assert suite.client.xlen(DEAD) == 2


def test_a_drop_deletes_it_and_the_bytes_that_it_kept(suite: Suite) -> None:
    assert suite.faces("dead", "drop", "--reason", "60 s").stdout == "1 dropped\n"
    assert suite.client.xlen(DEAD) == 0
    assert suite.client.get(f"{{faces}}:body:{suite.payload.id}") is None


async def test_a_letter_whose_bytes_are_gone_says_so_and_stays(suite: Suite) -> None:
    """The oldest lose them when there are many; of a picture that was sent along none is left."""
    await suite.record_failure()
    suite.client.delete(f"{{faces}}:body:{suite.payload.id}")
    assert "no end after 60 s; its bytes are gone" in suite.faces("dead", "list").stdout
    assert "its bytes are gone" in suite.faces("dead", "show", suite.id).stdout
    assert json.loads(suite.faces("dead", "list", "--json").stdout)["bytes_gone"]
    done = suite.faces("dead", "retry", "--all")
    assert done.stdout == "0 put back\n"
    assert "its bytes are gone; left where it is" in done.stderr
    assert await suite.row() == (Status.FAILED, 1)
    assert suite.client.xlen(DEAD) == 1


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_nothing_given_is_not_everything(suite: Suite, command: str) -> None:
    done = suite.faces("dead", command)
    assert done.returncode == 2
    assert "which ones?" in done.stderr
    assert suite.client.xlen(DEAD) == 1


def test_a_wrong_age_is_explained(suite: Suite) -> None:
    done = suite.faces("dead", "drop", "--older-than", "yesterday")
    assert done.returncode == 2
    assert "write a number and s, m, h or d" in done.stderr


async def test_forgetting_a_picture_drops_its_dead_letter_with_its_bytes_and_no_other(
    suite: Suite, tmp_path: Path
) -> None:
    await suite.record_failure()
    own = {"id": new_token(), "name": "other.jpg", "payload": Payload.of(b"other")}
    other = suite.message.model_copy(update=own)
    suite.die(other.encode(), "no end after 60 s", Reason.TIMEOUT)
    (tmp_path / "objects").mkdir()
    place = ("--objects", (tmp_path / "objects").as_uri())
    done = suite.faces("forget", "slow.jpg", "--yes", *place)
    assert done.returncode == 0, done.stderr
    assert "1 dead letter dropped" in done.stderr
    assert done.stdout == "1 entry forgotten\n"
    assert not suite.client.exists(f"{{faces}}:body:{suite.payload.id}")
    told = suite.faces("dead", "list").stdout
    assert ("slow.jpg" in told, "other.jpg" in told) == (False, True)
