"""Committing results: each row ends at most once, by the result of its own generation."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters, current
from shared.catalog.locks import Key, LockedRow, lock
from shared.catalog.queueing import add_recipe, fail_part, key_of, submission_key
from shared.catalog.requeueing import AS_TOLD, FIRST_DRAWING, delete_pages
from shared.catalog.schema import forgotten, found_faces, images, memberships, pages
from shared.catalog.texts import pack, safe
from shared.catalog.values import CommitReport
from shared.messages import ResultMessage, SourceFailedMessage, Status, now
from shared.reasons import Reason

UriOf = Callable[[str], str]

Winners = Mapping[int, ResultMessage]
"""The results by which rows end, by the keys of the rows."""


async def commit(
    connection: AsyncConnection,
    results: Sequence[ResultMessage],
    failures: Sequence[SourceFailedMessage],
    uri_of: UriOf,
    *,
    take_unknown: bool,
) -> CommitReport:
    """Write results and failed parts in the caller's transaction; see `Ledger.commit`."""
    report = await _end_rows(connection, results, uri_of, take_unknown=take_unknown)
    unknown: set[str] = set()
    for failure in failures:
        key = await key_of(connection, failure.submission)
        if key is None and take_unknown:
            key, _ = await submission_key(connection, failure.submission, "", now())
        if key is None:
            unknown.add(failure.submission)
        else:
            await fail_part(connection, key, failure.part, failure.uri, failure.reason)
    return replace(report, unknown_submissions=frozenset(unknown))


async def _end_rows(
    connection: AsyncConnection,
    results: Sequence[ResultMessage],
    uri_of: UriOf,
    *,
    take_unknown: bool,
) -> CommitReport:
    rows = await lock(connection, map(_key, results))
    missing = [result for result in results if _key(result) not in rows]
    buried = await _forgotten(connection, map(_key, missing)) if missing else set()
    lost = {_key(result): result for result in missing if _key(result) not in buried}
    if take_unknown and lost:
        rows |= await _restore(connection, list(lost.values()))
        lost = {}
    winners: dict[int, ResultMessage] = {}
    next_: set[int] = set()
    for result in results:
        row = rows.get(_key(result))
        if row is not None and not row.ended and row.generation == result.generation:
            winners.setdefault(row.pk, result)
            if row.current == current.Currency.NEXT:
                next_.add(row.pk)
    await _write(connection, winners, uri_of)
    await current.ended(connection, sorted(next_))
    return CommitReport(
        late=sum(_key(result) not in lost for result in results) - len(winners),
        orphans=_orphans(result for result in results if _key(result) in buried),
        won_by_status=Counter(result.status.value for result in winners.values()),
        unknown=frozenset(lost),
    )


def _key(result: ResultMessage) -> Key:
    return result.id, result.recipe.id


def _orphans(results: Iterable[ResultMessage]) -> tuple[str, ...]:
    """The keys of all objects of these results."""
    return tuple(
        sorted(
            {
                key
                for result in results
                for key in (result.annotated, *result.crops)
                if key is not None
            }
        )
    )


class _Forgotten(NamedTuple):
    id: str
    recipe: str


async def _forgotten(connection: AsyncConnection, keys: Iterable[Key]) -> set[Key]:
    """Which of these images were forgotten: their results must not bring them back."""
    wanted = sorted(set(keys))
    found = await bulk.select(
        connection,
        forgotten,
        {"id": [id_ for id_, _ in wanted], "recipe": [recipe for _, recipe in wanted]},
        "SELECT forgotten.id, forgotten.recipe FROM {given} JOIN forgotten "
        "ON forgotten.id = given.id AND forgotten.recipe = given.recipe",
        _Forgotten,
    )
    return {(row.id, row.recipe) for row in found}


async def _restore(
    connection: AsyncConnection, results: Sequence[ResultMessage]
) -> dict[Key, LockedRow]:
    """Queue rows that a database restored from a backup no longer has, so that they may end."""
    submissions: dict[str, int] = {}
    for result in results:
        await add_recipe(connection, result.recipe)
        if result.submission not in submissions:
            key, _ = await submission_key(connection, result.submission, "", result.queued_at)
            submissions[result.submission] = key
    new = sorted(results, key=_key)
    await bulk.insert(
        connection,
        images,
        {
            "id": [result.id for result in new],
            "recipe": [result.recipe.id for result in new],
            "generation": [result.generation for result in new],
            "submission_id": [result.submission for result in new],
            "source_uri": [result.source_uri and safe(result.source_uri) for result in new],
            "name": [safe(result.name) for result in new],
            "status": [Status.QUEUED.value] * len(new),
            "queued_at": [result.queued_at for result in new],
        },
        conflict="ignore",
    )
    rows = await lock(connection, map(_key, new))
    members = [
        counters.Membership(submissions[result.submission], rows[_key(result)].pk)
        for result in new
        if _key(result) in rows
    ]
    await bulk.insert(
        connection,
        memberships,
        {
            "submission": [member.submission for member in members],
            "image": [member.image for member in members],
        },
    )
    named = Counter(member.submission for member in members)
    await counters.apply(connection, {key: counters.Change(named=n) for key, n in named.items()})
    return await _made_current(connection, new, rows)


async def _made_current(
    connection: AsyncConnection, results: Sequence[ResultMessage], rows: Mapping[Key, LockedRow]
) -> dict[Key, LockedRow]:
    """Find the place of rows that were made anew among the other rows of their sources."""
    restored = []
    for result in results:
        if row := rows.get(_key(result)):
            uri = result.source_uri and safe(result.source_uri)
            source = current.source_of(uri, result.id)
            one = current.Named(row.pk, source, row.ended, row.current)
            restored.append((one, result.queued_at))
    changed = await current.restore(connection, restored)
    return {
        key: row._replace(current=changed.get(row.pk, row.current)) for key, row in rows.items()
    }


async def _write(connection: AsyncConnection, winners: Winners, uri_of: UriOf) -> None:
    """Write what the winners say into their rows, and count their ends."""
    results = list(winners.values())
    await bulk.update(connection, images, {"pk": list(winners)} | _columns(results, uri_of))
    await _write_faces(connection, winners)
    await _write_pages(connection, winners)
    turns = [
        counters.Turn(pk, counters.QUEUED, counters.State(result.status.value, len(result.faces)))
        for pk, result in winners.items()
    ]
    await counters.turned(connection, turns)


def _columns(results: Sequence[ResultMessage], uri_of: UriOf) -> dict[str, Sequence[object]]:
    """What results set in their rows. A column that is named as a field of `ResultMessage` needs no
    line here, unless it holds a text of strangers."""
    scores = [[face.score for face in result.faces] for result in results]
    return {
        "status": [result.status.value for result in results],
        "face_count": [len(result.faces) for result in results],
        "best_score": [max(of_one, default=None) for of_one in scores],
        "least_score": [min(of_one, default=None) for of_one in scores],
        "format": [safe(result.format) for result in results],
        "annotated_uri": [
            uri_of(result.annotated) if result.annotated else None for result in results
        ],
        "reason": [safe(result.reason) for result in results],
        "code": [_code(result) for result in results],
        "consumer": [safe(result.consumer) for result in results],
        "committed_at": [now()] * len(results),
        "camera": [safe(result.camera) or None for result in results],
        "kind": [result.kind.value for result in results],
        "drawing": [
            result.drawing or FIRST_DRAWING if result.annotated else None for result in results
        ],
        **{name: [getattr(result, name) for result in results] for name in AS_TOLD},
    }


def _code(result: ResultMessage) -> str | None:
    """The code of a failure; of message version 1, which has none, by its sentence if known."""
    if result.code is not None or result.status is not Status.FAILED:
        return result.code
    reason = Reason.of(None, result.reason)
    return None if reason is Reason.ERROR else reason.value


async def _write_faces(connection: AsyncConnection, winners: Winners) -> None:
    found = [(pk, n, face) for pk, result in winners.items() for n, face in enumerate(result.faces)]
    await bulk.insert(
        connection,
        found_faces,
        {
            "image": [pk for pk, _, _ in found],
            "n": [n for _, n, _ in found],
            "x": [face.x for *_, face in found],
            "y": [face.y for *_, face in found],
            "w": [face.w for *_, face in found],
            "h": [face.h for *_, face in found],
            "score": [face.score for *_, face in found],
            "landmarks": [pack(face.landmarks) for *_, face in found],
            "page": [face.page for *_, face in found],
        },
    )


async def _write_pages(connection: AsyncConnection, winners: Winners) -> None:
    """Write the pages of documents; what a redo of the last version left there goes first."""
    searched = [(pk, page) for pk, result in winners.items() for page in result.searched]
    await delete_pages(connection, sorted({pk for pk, _ in searched}))
    await bulk.insert(
        connection,
        pages,
        {
            "image": [pk for pk, _ in searched],
            "n": [page.n for _, page in searched],
            "width": [page.width for _, page in searched],
            "height": [page.height for _, page in searched],
            "reason": [safe(page.reason) for _, page in searched],
        },
    )
