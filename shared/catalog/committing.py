"""Committing results: each row ends at most once, by the result of its own generation."""

from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters
from shared.catalog.queueing import add_recipe, delete_pages, fail_part, submission_key
from shared.catalog.schema import found_faces, images, memberships, pages
from shared.catalog.texts import pack, safe
from shared.catalog.values import CommitReport
from shared.messages import ResultMessage, SourceFailedMessage, Status, now
from shared.reasons import Reason

KEY = [("id", "text"), ("recipe", "text")]

END_COLUMNS = (
    "pk status face_count best_score least_score bytes width height format annotated_uri reason "
    "attempts consumer detected_at committed_at detect_ms code taken_at camera kind pages "
    "annotated_page drawing"
)
"""What a result sets in its row; `pk` names the row."""

NEW_COLUMNS = "id recipe generation submission_id source_uri name status queued_at"
FACE_COLUMNS = "image n x y w h score landmarks page"
PAGE_COLUMNS = "image n width height reason"

Key = tuple[str, str]
UriOf = Callable[[str], str]


async def commit(
    connection: AsyncConnection,
    results: Sequence[ResultMessage],
    failures: Sequence[SourceFailedMessage],
    uri_of: UriOf,
) -> CommitReport:
    """Write results and failed parts in the caller's transaction."""
    report = await _end_rows(connection, results, uri_of)
    for failure in failures:
        key, _ = await submission_key(connection, failure.submission, "", now())
        await fail_part(connection, key, failure.part, failure.uri, failure.reason)
    return report


async def _end_rows(
    connection: AsyncConnection, results: Sequence[ResultMessage], uri_of: UriOf
) -> CommitReport:
    rows = await _lock(connection, results)
    missing = [result for result in results if _key(result) not in rows]
    orphaned: set[Key] = set()
    if missing:
        orphaned = await _forgotten(connection, missing)
        lost = {_key(result): result for result in missing if _key(result) not in orphaned}
        rows |= await _restore(connection, list(lost.values()))
    winners: dict[int, ResultMessage] = {}
    for result in results:
        pk, generation, status = rows.get(_key(result), (0, 0, ""))
        if status == Status.QUEUED and generation == result.generation:
            winners.setdefault(pk, result)
    await _write(connection, winners, uri_of)
    orphans = {
        key
        for result in results
        if _key(result) in orphaned and result.annotated
        for key in (result.annotated, *result.crops)
    }
    return CommitReport(
        late=len(results) - len(winners),
        orphans=tuple(sorted(orphans)),
        won_by_status=Counter(result.status.value for result in winners.values()),
    )


def _key(result: ResultMessage) -> Key:
    return result.id, result.recipe.id


async def _lock(
    connection: AsyncConnection, results: Sequence[ResultMessage]
) -> dict[Key, tuple[int, int, str]]:
    """Key, generation and status of the results' rows, which stay so until the commit."""
    found = await bulk.select(
        connection,
        KEY,
        sorted({_key(result) for result in results}),
        "SELECT images.id, images.recipe, images.pk, images.generation, images.status "
        "FROM {given} JOIN images ON images.id = given.id AND images.recipe = given.recipe "
        "ORDER BY images.pk {lock}",
    )
    return {(id_, recipe): (pk, gen, status) for id_, recipe, pk, gen, status in found}


async def _forgotten(connection: AsyncConnection, results: Sequence[ResultMessage]) -> set[Key]:
    """Which of these images were forgotten: their results must not bring them back."""
    found = await bulk.select(
        connection,
        KEY,
        sorted({_key(result) for result in results}),
        "SELECT forgotten.id, forgotten.recipe FROM {given} JOIN forgotten "
        "ON forgotten.id = given.id AND forgotten.recipe = given.recipe",
    )
    return {(id_, recipe) for id_, recipe in found}


async def _restore(
    connection: AsyncConnection, results: Sequence[ResultMessage]
) -> dict[Key, tuple[int, int, str]]:
    """Queue rows that a database restored from a backup no longer has, so that they may end."""
    submissions: dict[str, int] = {}
    for result in results:
        await add_recipe(connection, result.recipe)
        if result.submission not in submissions:
            key, _ = await submission_key(connection, result.submission, "", result.queued_at)
            submissions[result.submission] = key
    rows = [
        (
            result.id,
            result.recipe.id,
            result.generation,
            result.submission,
            result.source_uri and safe(result.source_uri),
            safe(result.name),
            Status.QUEUED.value,
            result.queued_at,
        )
        for result in sorted(results, key=_key)
    ]
    await bulk.insert(connection, images, NEW_COLUMNS, rows, conflict="ignore")
    found = await _lock(connection, results)
    members = [
        (submissions[result.submission], found[_key(result)][0])
        for result in results
        if _key(result) in found
    ]
    await bulk.insert(connection, memberships, "submission image", members, conflict="ignore")
    named = {key: counters.Change() for key in submissions.values()}
    for key, _ in members:
        named[key].named += 1
    await counters.apply(connection, named)
    return found


async def _write(
    connection: AsyncConnection, winners: dict[int, ResultMessage], uri_of: UriOf
) -> None:
    moment = now()
    ends = [
        (
            pk,
            result.status.value,
            len(result.faces),
            max((face.score for face in result.faces), default=None),
            min((face.score for face in result.faces), default=None),
            result.bytes,
            result.width,
            result.height,
            safe(result.format),
            uri_of(result.annotated) if result.annotated else None,
            safe(result.reason),
            result.attempts,
            safe(result.consumer),
            result.detected_at,
            moment,
            result.detect_ms,
            _code(result),
            result.taken_at,
            safe(result.camera) or None,
            result.kind.value,
            result.pages,
            result.annotated_page,
            result.drawing,
        )
        for pk, result in winners.items()
    ]
    await bulk.update(connection, images, END_COLUMNS, ends)
    faces = [
        (pk, n, face.x, face.y, face.w, face.h, face.score, pack(face.landmarks), face.page)
        for pk, result in winners.items()
        for n, face in enumerate(result.faces)
    ]
    await bulk.insert(connection, found_faces, FACE_COLUMNS, faces)
    await _write_pages(connection, winners)
    turns = [
        counters.Turn(pk, (Status.QUEUED, 0), (result.status, len(result.faces)))
        for pk, result in winners.items()
    ]
    await counters.turned(connection, turns)


async def _write_pages(connection: AsyncConnection, winners: dict[int, ResultMessage]) -> None:
    """Write the pages of documents; what a program of the last schema left there goes first."""
    documents = {pk: result.searched for pk, result in winners.items() if result.searched}
    await delete_pages(connection, list(documents))
    rows = [
        (pk, page.n, page.width, page.height, safe(page.reason))
        for pk, searched in documents.items()
        for page in searched
    ]
    await bulk.insert(connection, pages, PAGE_COLUMNS, rows)


def _code(result: ResultMessage) -> str | None:
    """The code of a failure; of message version 1, which has none, by its sentence if known."""
    if result.code is not None or result.status is not Status.FAILED:
        return result.code
    reason = Reason.of(None, result.reason)
    return None if reason is Reason.ERROR else reason.value
