"""Rows for `bench.catalog`, and what people ask about them.

Statuses, counts and scores are spread; names and dates lie together, as those of albums do. An
album of a thousand was taken on one day of twenty years and by one of forty cameras, in no order;
three in ten pictures do not say. The first hundredth was drawn before versions of it were kept.
"""

import hashlib
from datetime import date, timedelta

from shared.catalog import Filter
from shared.messages import Kind, Status, now
from shared.reasons import Reason

GENERATE = """
INSERT INTO recipes (id, json) VALUES ('{recipe}', '{json}');
INSERT INTO submissions (id, name, created_at)
    SELECT md5('s' || s), 'submission ' || s, now() - interval '100 days' + s * interval '1 day'
    FROM generate_series(0, 99) s;
SELECT setseed(0.5);
INSERT INTO images (id, recipe, generation, submission_id, source_uri, source_version, name, bytes,
    width, height, format, status, face_count, best_score, least_score, annotated_uri, reason,
    attempts, consumer, queued_at, detected_at, committed_at, detect_ms, code, taken_at,
    camera, kind, drawing)
SELECT md5('i' || i), '{recipe}', 1, md5('s' || CASE WHEN i < {rows} * 0.9 THEN 0
        ELSE 1 + i % 99 END), 'file:///photos/' || path, '250000-1700000000' || i, path,
    250000 + i % 10000, 1600, 1200, 'JPEG', status,
    CASE WHEN status = 'faces' THEN count ELSE 0 END,
    CASE WHEN status = 'faces' THEN best END, CASE WHEN status = 'faces' THEN least END,
    CASE WHEN status = 'faces' THEN 's3://pictures/{recipe}/' || md5('i' || i) || '.jpg' END,
    CASE WHEN status = 'failed' THEN 'the file is truncated' ELSE '' END, 1,
    'detector-' || i % 8 || '-4711', at, at + interval '1 second',
    CASE WHEN status <> 'queued' THEN at + interval '2 seconds' END, 20 + random() * 30,
    CASE WHEN status = 'failed' THEN (ARRAY['truncated', 'damaged', 'timeout'])[1 + i % 3] END,
    CASE WHEN i % 10 > 2 THEN to_char(timestamp '2005-01-01' + album * interval '7 days 7 hours'
        + i % 1000 * interval '30 seconds', 'YYYY-MM-DD"T"HH24:MI:SS') END,
    CASE WHEN i % 10 > 2 THEN (ARRAY['Canon EOS ', 'NIKON D', 'Apple iPhone ', 'SONY DSC-'])
        [1 + album % 4] || album % 40 END,
    CASE WHEN i % 1000 = 7 THEN 'document' ELSE 'picture' END,
    CASE WHEN status = 'faces' THEN CASE WHEN i < {rows} * 0.01 THEN 1 ELSE 2 END END
FROM (
    SELECT i, (i / 1000 * 389 + 17) % 1000 AS album,
        now() - interval '100 days' + i * interval '8 seconds' AS at,
        'album-' || lpad((i / 1000)::text, 4, '0') || '/' || (ARRAY['beach', 'city', 'party',
        'forest'])[1 + (i / 100) % 4] || '/IMG_' || lpad((i::bigint * 7919 % {rows})::text, 7, '0')
        || '.jpg' AS path,
        CASE WHEN i >= {rows} * 0.999 THEN 'queued' WHEN random() < 0.002 THEN 'failed'
        WHEN random() < 0.35 THEN 'no_faces' ELSE 'faces' END AS status,
        1 + floor(-ln(1 - random()) * 1.2)::int AS count,
        0.7 + 0.3 * sqrt(random()) AS best, 0.7 + 0.3 * random() * random() AS least
    FROM generate_series(0, {rows} - 1) i
) made;
UPDATE images SET best_score = greatest(best_score, least_score), least_score =
    CASE WHEN face_count = 1 THEN greatest(best_score, least_score) ELSE
    least(best_score, least_score) END WHERE status = 'faces' AND best_score < least_score;
INSERT INTO memberships (submission, image)
    SELECT submissions.pk, images.pk FROM images
    JOIN submissions ON submissions.id = images.submission_id ORDER BY 2;
INSERT INTO found_faces (image, n, x, y, w, h, score, landmarks)
    SELECT pk, n, 50 * n, 40, 45, 60, CASE n WHEN 0 THEN best_score ELSE least_score END,
        decode(repeat('0000803f', 10), 'hex')
    FROM images, generate_series(0, face_count - 1) n WHERE status = 'faces' ORDER BY pk, n;
"""


def questions(rows: int) -> dict[str, list[Filter]]:
    """What people ask of a catalog of so many rows: the variants of each question by its title."""
    moment = now()
    many = range(0, 100, 5)
    return {
        "status failed": [Filter(statuses=(Status.FAILED,))],
        "status faces": [Filter(statuses=(Status.FACES,))],
        "status queued": [Filter(statuses=(Status.QUEUED,))],
        "whole name": [Filter(name=f"album-{n:04}/beach/IMG_0000000.jpg") for n in many],
        "name, an album": [Filter(name=f"album-{n * rows // 100_000:04}/*") for n in many],
        "name, part of it": [Filter(name=f"*IMG_{n * 7919 % rows:07}*") for n in many],
        "name, a folder": [Filter(name="*/beach/*")],
        "name, a set": [Filter(name=f"album-00[0-9]{n // 10}/*/IMG_*7.jpg") for n in many],
        "no such name": [Filter(name="*zebra*")],
        "faces, 5 or more": [Filter(min_faces=5)],
        "faces, 12 or more": [Filter(min_faces=12)],
        "faces, 3 exactly": [Filter(min_faces=3, max_faces=3)],
        "doubtful faces": [Filter(max_score=0.7001)],
        "certain faces": [Filter(min_score=0.99995)],
        "a score between": [Filter(min_score=0.7, max_score=0.7002)],
        "one day": [
            Filter(since=moment - timedelta(days=n + 1), until=moment - timedelta(days=n))
            for n in range(95)
        ],
        "a small submission": [Filter(submission=token(n)) for n in range(1, 90, 7)],
        "failed of a submission": [
            Filter(submission=token(n), statuses=(Status.FAILED,)) for n in range(0, 90, 7)
        ],
        "failed of the last day": [
            Filter(statuses=(Status.FAILED,), since=moment - timedelta(days=10))
        ],
        "taken on a day": [Filter(taken_since=d, taken_until=d + "T24") for d in days()],
        "taken in a month": [
            Filter(taken_since=f"{year}-06", taken_until=f"{year}-07") for year in YEARS
        ],
        "taken in a year": [
            Filter(taken_since=f"{year}", taken_until=f"{year + 1}") for year in YEARS
        ],
        "taken in ten years": [Filter(taken_since="2007", taken_until="2017")],
        "taken since last year": [Filter(taken_since="2023")],
        "taken later than any": [Filter(taken_since="2030")],
        "a camera": [Filter(camera=f"canon eos {n}") for n in range(0, 40, 4)],
        "cameras of a make": [Filter(camera="nikon*"), Filter(camera="*iphone*")],
        "no such camera": [Filter(camera="*zebra*")],
        "a camera in a month": [
            Filter(camera="sony*", taken_since=f"{year}-03", taken_until=f"{year}-04")
            for year in YEARS
        ],
        "documents": [Filter(kind=Kind.DOCUMENT)],
        "failed for a reason": [Filter(code=Reason.TIMEOUT)],
        "drawn before a mend": [Filter(drawn_before=2)],
        "many faces in an album": [Filter(name=f"album-{n:04}/*", min_faces=6) for n in many],
    }


YEARS = range(2005, 2024)


def days() -> list[str]:
    """A day of each year on which an album of a thousand was taken."""
    first = date(2005, 1, 1)
    return [f"{first + timedelta(hours=175 * n)}" for n in range(20, 1000, 50)]


def token(number: int) -> str:
    """The id of a submission."""
    return identity(f"s{number}")


def identity(text: str) -> str:
    """PostgreSQL's md5() of a text."""
    return hashlib.md5(text.encode()).hexdigest()
