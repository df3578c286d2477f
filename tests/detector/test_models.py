"""The face models: what they find, that their weights are checked, how two scales are fused."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.average_precision import Found, Labels, curve, read_labels
from services.detector.fuse import suppress
from services.detector.models import Detections, Model, Pixels, load
from services.detector.models.haar import tutorial
from services.detector.models.heads import joined
from services.detector.models.network import blob, session
from services.detector.picture import process
from services.detector.search import scaled_down
from shared.errors import ModelMissing, SettingsError
from shared.model_table import MODELS
from tests.support.pictures import LIMITS, astronaut, encoded, recipe

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def picture() -> Pixels:
    return np.ascontiguousarray(np.asarray(astronaut())[:, :, ::-1])


@pytest.fixture(scope="module")
def yunet(sample_models: Path) -> Model:
    return load("yunet", sample_models)


def best(model: Model, picture: Pixels, min_score: float = 0.6) -> Detections:
    return suppress(model.detect(picture, min_score), min_score, model.overlap)


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of x, y, w, h, score."""
    given = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(given[:, :4], given[:, 4], np.zeros((len(given), 10), np.float32))


def test_weights_that_are_absent_name_the_command_that_gets_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="faces models pull yunet"):
        load("yunet", tmp_path)


def test_weights_that_are_not_the_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / MODELS["yunet"].file).write_bytes(b"other weights")
    with pytest.raises(ModelMissing, match="damaged or another version"):
        load("yunet", tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_weights_exchanged_behind_their_check_are_not_what_is_loaded(
    name: str,
    tmp_path: Path,
    picture: Pixels,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / MODELS[name].file
    if name == "haar":
        monkeypatch.setattr("cv2.data.haarcascades", f"{tmp_path}/")
        file.write_bytes((Path(cv2.__file__).parent / "data" / file.name).read_bytes())
    else:
        whole = request.getfixturevalue("sample_models") / file.name
        if not whole.is_file():
            pytest.skip(f"{file.name} is not among the sample models")
        file.write_bytes(whole.read_bytes())

    class Exchanging:
        """A checksum in whose shadow the file becomes another."""

        def sha256(self, content: bytes) -> object:
            file.write_bytes(b"other weights")
            return hashlib.sha256(content)

    monkeypatch.setattr("services.detector.models.checked.hashlib", Exchanging())
    assert len(best(load(name, tmp_path), picture)) > 0
    assert file.read_bytes() == b"other weights"
    with pytest.raises(ModelMissing, match="damaged or another version"):
        load(name, tmp_path)


def test_a_model_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="yunet, centerface, haar"):
        load("dlib", tmp_path)


@pytest.mark.parametrize(
    "name", ["haar", *(pytest.param(n, marks=pytest.mark.shared) for n in MODELS if n != "haar")]
)
def test_each_model_finds_the_astronaut(
    name: str, picture: Pixels, request: pytest.FixtureRequest
) -> None:
    folder = Path()
    if name != "haar":
        folder = request.getfixturevalue("sample_models")
        if not (folder / MODELS[name].file).is_file():
            pytest.skip(f"{MODELS[name].file} is not among the sample models")
    found = best(load(name, folder), picture)

    assert found.boxes.dtype == found.scores.dtype == found.landmarks.dtype == np.float32
    assert len(found) == 1 or name == "haar"
    x, y, w, h = found.boxes[0]
    assert 160 < x < 190
    assert 50 < y < 100
    assert 60 < w < 120
    assert 70 < h < 130
    if name == "haar":
        assert found.landmarks.shape == (len(found), 0)
        return
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[0].reshape(5, 2)
    assert right_eye[0] < nose[0] < left_eye[0], "the person's right is the picture's left"
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert right_mouth[0] < left_mouth[0]


def test_yunet_finds_what_opencv_finds_with_the_same_network(
    picture: Pixels, yunet: Model, sample_models: Path
) -> None:
    height, width = 384, 512  # multiples of 32: OpenCV pads otherwise as we do, but says so not
    same = np.ascontiguousarray(picture[:height, :width])
    weights = sample_models / "yunet_n_320_320.onnx"
    opencv = cv2.FaceDetectorYN.create(str(weights), "", (width, height), 0.3, yunet.overlap)
    _, theirs = opencv.detect(same)
    ours = best(yunet, same, 0.3)

    assert len(ours) == len(theirs) > 0
    assert ours.boxes == pytest.approx(theirs[:, :4], abs=1)
    assert ours.landmarks == pytest.approx(theirs[:, 4:14], abs=1)
    assert ours.scores == pytest.approx(theirs[:, 14], abs=0.01)


def test_yunet_s_joined_heads_are_those_of_its_file(picture: Pixels, sample_models: Path) -> None:
    weights = (sample_models / MODELS["yunet"].file).read_bytes()
    strides, heads = (8, 16, 32), ("cls", "obj", "bbox", "kps")
    given = {"input": blob(picture, rgb=False)}
    own = session(weights).run([f"{head}_{n}" for n in strides for head in heads], given)
    names = [f"all_{n}" for n in strides]
    together = session(joined(weights, names)).run(names, given)

    for level, output in enumerate(together):
        cells = output[0].reshape(16, -1).T
        cells[:, :2] = 1 / (1 + np.exp(-cells[:, :2]))
        expected = np.concatenate([head[0] for head in own[4 * level : 4 * level + 4]], axis=1)
        assert np.allclose(cells, expected, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(33, 31), (1, 1), (640, 5), (500, 375)])
def test_sides_that_no_stride_divides_are_padded_not_stretched(
    width: int, height: int, yunet: Model
) -> None:
    grey = np.full((height, width, 3), 77, np.uint8)
    planes = blob(grey, rgb=False)
    assert planes.shape[2] % 32 == planes.shape[3] % 32 == 0
    assert planes[0, :, :height, :width].min() == 77
    assert planes.sum() == 77 * 3 * width * height
    assert len(yunet.detect(grey, 0.5)) == 0


def test_the_blob_is_what_opencv_makes(picture: Pixels) -> None:
    even = np.ascontiguousarray(picture[:384])
    for rgb in (False, True):
        assert np.array_equal(blob(even, rgb=rgb), cv2.dnn.blobFromImage(even, swapRB=rgb))


@pytest.mark.parametrize(("width", "height"), [(2601, 1301), (1301, 2603), (1300, 700)])
def test_scaling_down_moves_nothing_by_a_pixel(width: int, height: int) -> None:
    right, below = width - 8, height - 8  # where a factor that is a little off shows most
    picture = np.zeros((height, width, 3), np.uint8)
    picture[below - 6 : below, right - 6 : right] = 255
    small = scaled_down(picture, 640)
    rows, columns = np.nonzero(small[..., 0])
    weights = small[rows, columns, 0].astype(float)
    x, y = np.average(columns + 0.5, weights=weights), np.average(rows + 0.5, weights=weights)

    assert max(small.shape) == 640
    assert x == pytest.approx((right - 3) * small.shape[1] / width, abs=1)
    assert y == pytest.approx((below - 3) * small.shape[0] / height, abs=1)


def test_a_picture_of_a_single_row_is_scaled_down_along_it() -> None:
    assert scaled_down(np.full((1, 5000, 3), 9, np.uint8), 640).shape == (1, 640, 3)


def test_the_tutorial_takes_no_face_smaller_than_50_pixels(picture: Pixels) -> None:
    small = scaled_down(picture, 200)
    assert len(load("haar", Path()).detect(small, 0.5)) > 0
    assert all(tutorial().detect(small, 0.5).boxes[:, 2] >= 50)


def test_yunet_finds_the_labelled_faces_of_photographs(yunet: Model, sample_data: Path) -> None:
    folder = sample_data / "voc-faces-12"
    labels = read_labels(folder)
    found = {}
    wanted = recipe("yunet", mode="none", min_score=MODELS["yunet"].min_score)
    for name in labels:
        done = process((folder / name).read_bytes(), wanted, yunet, LIMITS)
        boxes = np.array([(face.x, face.y, face.w, face.h) for face in done.faces], float)
        found[name] = Found(boxes, np.array([face.score for face in done.faces]))
    precision, recall = curve(labels, found, "hard").at(0)
    assert (precision, recall) == (1.0, 1.0), "43 of 43, and no other, at the working threshold"


def test_average_precision_by_hand() -> None:
    """Two faces count; hit, false alarm, ignored, hit: precision 1, 1/2, 2/3."""
    labels = {
        "a": Labels(
            np.array([[0, 0, 10, 10], [50, 50, 10, 10], [90, 90, 10, 10.0]]),
            (frozenset({"hard"}), frozenset({"hard"}), frozenset()),
        )
    }
    boxes = np.array([[0, 0, 10, 10], [30, 0, 10, 10], [90, 90, 10, 10], [50, 50, 10, 9.0]])
    found = {"a": Found(boxes, np.array([0.9, 0.8, 0.7, 0.6]))}
    hard = curve(labels, found, "hard")
    assert hard.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert hard.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert hard.at(0.85) == (1.0, 0.5)
    assert hard.best_f1() == pytest.approx((0.8, 0.6))


def test_a_second_detection_of_one_face_is_a_false_alarm() -> None:
    labels = {"a": Labels(np.array([[0, 0, 10, 10.0]]), (frozenset({"hard"}),))}
    twice = {"a": Found(np.array([[0, 0, 10, 10], [0, 0, 10, 9.0]]), np.array([0.9, 0.8]))}
    assert curve(labels, twice, "hard").precision.tolist() == [1, 0.5]


def test_haar_alone_is_enough_for_a_machine_without_weights(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    done = process(encoded(astronaut(), "PNG"), recipe(), load("haar", tmp_path), LIMITS)
    assert done.status == "faces"
    assert done.faces[0].landmarks == ()


def test_loading_a_model_leaves_no_trace_and_starts_no_thread(
    sample_models: Path, tmp_path: Path
) -> None:
    """onnxruntime tells its maker who loads it, unless it is told not to."""
    program = (
        "import sys, pathlib; from services.detector.models import load\n"
        "model = load('yunet', pathlib.Path(sys.argv[1]))\n"
        "tasks = pathlib.Path('/proc/self/task')\n"
        "print(len(list(tasks.iterdir())) if tasks.exists() else 1)"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", program, str(sample_models)],
        env=home | one_thread,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["1"]
    assert not list(tmp_path.iterdir())
