"""The search: how a picture is looked at, and what is made of what several looks show."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.average_precision import Found, average_precisions, read_labels
from services.detector.fuse import (
    Seen,
    all_kept,
    and_large,
    fuse,
    overlaps,
    voted,
)
from services.detector.models import Detections, Model, Pixels, load
from services.detector.picture import process
from services.detector.search import looks, scaled_down, search
from shared.messages import Face
from tests.support.pictures import LIMITS, astronaut, encoded, recipe


@pytest.fixture
def picture() -> Pixels:
    return np.ascontiguousarray(np.asarray(astronaut())[:, :, ::-1])


@pytest.fixture(scope="module")
def yunet(sample_models: Path) -> Model:
    return load("yunet", sample_models)


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x, y, w, h, score."""
    given = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(given[:, :4], given[:, 4], np.zeros((len(given), 10), np.float32))


@pytest.mark.parametrize(
    ("detect_size", "accurate", "longest", "expected"),
    [
        (640, False, 4000, [640]),
        (640, False, 300, [300]),
        (800, False, 4000, [800]),
        (1280, False, 4000, [1280, 320]),
        (1280, False, 700, [700]),
        (640, True, 4000, [640, 960, 960]),
        (640, True, 900, [640, 900, 900]),
        (640, True, 700, [640, 640]),
        (640, True, 100, [100, 100]),
        (1280, True, 4000, [1280, 1920, 1920, 320]),
    ],
)
def test_no_look_is_larger_than_the_picture(
    detect_size: int, accurate: bool, longest: int, expected: list[int]
) -> None:
    wanted = looks(detect_size, accurate, longest)
    overview = [wanted.overview] if wanted.overview else []
    assert [look.size for look in (wanted.plain, *wanted.closer, *overview)] == expected
    assert sum(look.mirrored for look in wanted.closer) == accurate
    assert wanted.largest == max(expected)


def test_boxes_are_in_pixels_of_the_full_picture(picture: Pixels) -> None:
    haar = load("haar", Path())
    wanted = looks(400, accurate=False, longest=512)

    def scaled(longest: int) -> Pixels:
        return scaled_down(picture, longest)

    found = search(haar, scaled, (512, 400), wanted, min_score=0.6)
    doubled = search(haar, scaled, (1024, 800), wanted, min_score=0.6)
    assert len(found) and doubled.boxes == pytest.approx(found.boxes * 2)


def test_overlap_is_intersection_over_union() -> None:
    boxes = detections((0, 0, 10, 10, 1), (5, 0, 10, 10, 1), (90, 90, 5, 5, 1)).boxes
    assert overlaps(boxes, boxes) == pytest.approx(
        np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]), abs=1e-6
    )


def test_a_vote_moves_a_box_to_the_mean_of_those_that_overlap_it() -> None:
    found = detections((100, 100, 50, 50, 0.8), (104, 100, 50, 50, 0.4), (300, 300, 9, 9, 0.5))
    kept = voted(found, 0.1)
    assert kept.scores.tolist() == pytest.approx([0.8, 0.5])
    assert kept.boxes[0].tolist() == pytest.approx([100 + 4 / 3, 100, 50, 50])
    assert kept.boxes[1].tolist() == [300, 300, 9, 9]


def test_looks_that_agree_are_believed_and_one_alone_is_doubted() -> None:
    face = detections((100, 100, 200, 200, 0.8))
    agreed = fuse([Seen(face, 1.0), Seen(face, 0.5), Seen(face, 1.0)])
    alone = fuse([Seen(face, 1.0), Seen(detections(), 0.5), Seen(detections(), 1.0)])
    assert agreed.scores.tolist() == pytest.approx([0.8])
    assert alone.scores.tolist() == pytest.approx([0.8 / 3], abs=0.01)


def test_a_face_too_small_for_one_scale_is_not_doubted_for_its_silence() -> None:
    tiny = detections((100, 100, 14, 14, 0.8))
    assert fuse([Seen(tiny, 1.0), Seen(detections(), 0.5)]).scores[0] > 0.65


def test_a_look_finds_what_the_others_do_not_see() -> None:
    found = fuse([Seen(detections(), 1.0), Seen(detections((0, 0, 300, 300, 0.9)), 0.5)])
    assert len(found) == 1
    assert fuse([Seen(detections(), 1.0), Seen(detections(), 0.5)]).boxes.shape == (0, 4)


def test_each_face_of_one_look_is_paired_with_one_of_another() -> None:
    large = detections((100, 100, 80, 80, 0.9), (400, 100, 80, 80, 0.9))
    small = detections((104, 100, 80, 80, 0.7), (100, 104, 80, 80, 0.6), (398, 100, 80, 80, 0.9))
    found = fuse([Seen(large, 1.0), Seen(small, 0.5)])
    assert len(found) == 2
    assert sorted(found.boxes[:, 0].tolist()) == pytest.approx([101.4, 399.2], abs=0.1)


def test_landmarks_are_those_of_the_look_that_scored_best() -> None:
    seen = [
        Detections(face.boxes, face.scores, np.full((1, 10), mark, np.float32))
        for face, mark in (
            (detections((10, 10, 90, 90, 0.6)), 1),
            (detections((10, 10, 90, 90, 0.9)), 2),
            (detections((10, 10, 90, 90, 0.7)), 3),
        )
    ]
    assert fuse([Seen(one, 1.0) for one in seen]).landmarks.tolist() == [[2] * 10]


def anything(seed: int, count: int) -> Detections:
    """Boxes of all sizes and scores, many of them over each other, as of a crowd."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 300, (count, 2)), rng.uniform(5, 120, (count, 1))
    boxes = np.concatenate([corners, sides, sides * rng.uniform(0.7, 1.4, (count, 1))], axis=1)
    rows = np.concatenate([boxes, rng.uniform(0.02, 1, (count, 1))], axis=1)
    return detections(*rows.tolist())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("min_score", [0.02, 0.5, 0.9])
def test_whatever_was_fused_no_face_of_the_plain_search_is_lost_nor_scores_less(
    seed: int, min_score: float
) -> None:
    plain = anything(seed, seed * 3)
    plain = plain.take(np.flatnonzero(plain.scores >= min_score))
    together = all_kept(anything(seed + 100, 40), plain, min_score)
    for threshold in (min_score, 0.7, 0.95):
        sure = together.boxes[together.scores >= threshold]
        for box in plain.boxes[plain.scores >= threshold]:
            assert overlaps(box[None], sure).max() >= 0.5
    assert min(together.scores, default=1) >= np.float32(min_score)
    assert list(together.scores) == sorted(together.scores, reverse=True)


class SeesAt:
    """A model that finds a face at one size of picture only, the same part of it each time."""

    name, overlap = "sees", 0.45

    def __init__(self, width: int, part: float) -> None:
        self._width, self._part = width, part

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        if picture.shape[1] != self._width:
            return detections()
        side = self._part * self._width
        return detections((10, 10, side, side, 0.8))


@pytest.mark.parametrize(("detect_size", "seen_at", "part"), [(640, 640, 0.2), (1280, 320, 0.8)])
def test_what_only_the_plain_search_sees_an_accurate_one_tells_too(
    detect_size: int, seen_at: int, part: float
) -> None:
    model = SeesAt(seen_at, part)
    grey = np.full((2000, 4000, 3), 99, np.uint8)
    found = [
        search(
            model,
            lambda longest: scaled_down(grey, longest),
            (4000, 2000),
            looks(detect_size, accurate, 4000),
            0.75,
        )
        for accurate in (False, True)
    ]
    assert len(found[0]) == 1
    assert found[1].boxes.tolist() == found[0].boxes.tolist()
    assert found[1].scores.tolist() == found[0].scores.tolist()


def test_of_an_overview_only_large_faces_count_that_were_not_found() -> None:
    found = detections((0, 0, 500, 500, 0.9))
    overview = detections((10, 0, 500, 500, 0.8), (700, 0, 450, 300, 0.7), (700, 400, 90, 90, 0.9))
    both = and_large(found, overview, side=400)
    assert both.boxes[:, 0].tolist() == [0, 700]
    assert len(and_large(found, detections(), side=400)) == 1
    assert len(and_large(detections(), overview, side=400)) == 2


def test_what_is_found_in_the_mirror_is_told_of_the_picture() -> None:
    marks = np.arange(10, dtype=np.float32)[None]
    face = Detections(np.array([[10, 20, 30, 40]], np.float32), np.ones(1, np.float32), marks)
    turned = face.mirrored(100)
    assert turned.boxes.tolist() == [[60, 20, 30, 40]]
    assert turned.landmarks.tolist() == [[98, 3, 100, 1, 96, 5, 92, 9, 94, 7]]
    back = turned.mirrored(100)
    assert (back.boxes == face.boxes).all() and (back.landmarks == marks).all()
    without = Detections(face.boxes, face.scores, np.zeros((1, 0), np.float32))
    assert without.mirrored(100).landmarks.shape == (1, 0)


def test_yunet_finds_in_the_mirror_what_it_finds_in_the_picture(
    picture: Pixels, yunet: Model
) -> None:
    def best(pixels: Pixels) -> Detections:
        found = yunet.detect(pixels, 0.8)
        return found.take(np.array([found.scores.argmax()]))

    straight = best(picture)
    mirrored = best(np.asarray(cv2.flip(picture, 1), np.uint8)).mirrored(picture.shape[1])
    assert mirrored.boxes == pytest.approx(straight.boxes, abs=6)
    assert mirrored.landmarks == pytest.approx(straight.landmarks, abs=6)


def faces_of(pixels: Pixels, model: Model, **parameters: object) -> tuple[Face, ...]:
    """The faces of a picture, at the score of 0.75."""
    content = encoded(Image.fromarray(pixels[:, :, ::-1]), "PNG")
    given = {"mode": "none", "min_score": 0.75} | parameters
    done = process(content, recipe(model.name, **given), model, LIMITS)
    assert done.status != "failed", done.reason
    return done.faces


def test_in_a_crowd_of_equal_faces_an_accurate_search_finds_each(
    picture: Pixels, yunet: Model
) -> None:
    """All that a doubting mean is wrong about, it is wrong about 48 times."""
    tile = cv2.resize(picture[:240, 110:350], (170, 170), interpolation=cv2.INTER_AREA)
    crowd = np.tile(np.asarray(tile, np.uint8), (6, 8, 1))
    assert len(faces_of(crowd, yunet)) == 48
    assert len(faces_of(crowd, yunet, accurate=True)) == 48


@pytest.mark.parametrize("detect_size", [320, 640, 960, 1280, 1920, 4096])
def test_a_face_that_fills_the_picture_is_found_at_every_size(
    detect_size: int, picture: Pixels, yunet: Model
) -> None:
    close = cv2.resize(picture[50:190, 160:290], (2600, 2800), interpolation=cv2.INTER_CUBIC)
    for accurate in (False, True):
        best = faces_of(
            np.asarray(close, np.uint8), yunet, detect_size=detect_size, accurate=accurate
        )
        assert best and best[0].w > 1300


@pytest.mark.parametrize("mode", ["none", "box"])
def test_accurate_finds_all_that_the_default_finds_and_more(
    mode: str, yunet: Model, sample_data: Path
) -> None:
    """Also where nothing is drawn, and a JPEG is decoded at a reduced size."""
    lost = more = 0
    for file in sorted((sample_data / "photos").glob("*.jpg"))[:12]:
        found = [
            process(
                file.read_bytes(),
                recipe("yunet", mode=mode, min_score=0.75, accurate=accurate),
                yunet,
                LIMITS,
            ).faces
            for accurate in (False, True)
        ]
        plain, accurate = (np.array([(f.x, f.y, f.w, f.h) for f in faces]) for faces in found)
        if len(plain):
            lost += int((overlaps(plain, accurate).max(axis=1) < 0.5).sum())
        more += len(accurate) - len(plain)
    assert lost == 0
    assert more >= 0


def test_accurate_is_more_precise_over_all_scores(yunet: Model, sample_data: Path) -> None:
    folder = sample_data / "wider-val-100"
    labels = dict(list(read_labels(folder).items())[:12])
    precisions = []
    for accurate in (False, True):
        found = {}
        for name in labels:
            wanted = recipe("yunet", mode="none", min_score=0.02, accurate=accurate)
            done = process((folder / name).read_bytes(), wanted, yunet, LIMITS)
            boxes = np.array([(face.x, face.y, face.w, face.h) for face in done.faces], float)
            scores = np.array([face.score for face in done.faces], float)
            found[name] = Found(boxes.reshape(-1, 4), scores)
        precisions.append(average_precisions(labels, found)[2])
    assert precisions[1] > precisions[0] + 0.02
