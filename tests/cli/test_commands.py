"""The command line itself: help, versions, options, submitting, reading the catalog."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.options.recipe import make_recipe
from services.cli.outdir.names import with_id
from services.cli.sending.largest import Largest
from services.cli.sending.reading import BATCH_BYTES, BATCH_PICTURES, in_batches, pictures
from shared.catalog import Catalog, Filter
from shared.errors import SettingsError
from shared.folders.patterns import EVERYTHING
from shared.messages import SourceKind, SourceMessage
from shared.model_table import MODELS
from shared.recipe import Recipe, Shape
from tests.support.entries import entries_in
from tests.support.faces_command import Faces
from tests.support.servers import RedisServer

runner = CliRunner()

COMMANDS = [
    ["run"],
    ["submit"],
    ["ingest"],
    ["detector"],
    ["writer"],
    ["stats"],
    ["status"],
    ["cancel"],
    ["results"],
    ["show"],
    ["redo"],
    ["forget"],
    ["sweep"],
    ["dead", "list"],
    ["dead", "show"],
    ["dead", "retry"],
    ["dead", "drop"],
    ["models", "list"],
    ["models", "pull"],
]


@pytest.fixture
def faces(tmp_path: Path) -> Iterator[Faces]:
    command = Faces(tmp_path)
    yield command
    command.end_all()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    shown = runner.invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"faces {' '.join(command)}" in " ".join(shown.output.split())


def test_the_commands_are_those_that_are_tested() -> None:
    shown = runner.invoke(app, ["--help"]).output
    listed = set(re.findall(r"^│ (\w+) ", shown, re.MULTILINE)) - {"command"}
    assert listed == {command[0] for command in COMMANDS}


def test_version_and_usage_errors(faces: Faces) -> None:
    assert re.fullmatch(r"faces \d+\.\d+\.\d+\n", runner.invoke(app, ["--version"]).output)
    assert faces("run").returncode == 2
    assert faces("fly").returncode == 2
    assert faces("run", ".", "-o", "out", "--mode", "frame").returncode == 2


def test_help_is_quick_because_nothing_heavy_is_imported(faces: Faces) -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from services.cli.app import app; "
        "CliRunner().invoke(app, ['run', '--help']); "
        "print(sorted({'cv2', 'redis', 'sqlalchemy', 'onnxruntime', 'obstore'} & set(sys.modules)))"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=faces.environment,
        cwd=faces.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_parameter_of_a_recipe_is_an_option_of_run_and_submit() -> None:
    for command in ("run", "submit"):
        shown = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        for name in set(Recipe.model_fields) - {"model_version"}:
            assert f"--{name.replace('_', '-')}" in shown


def test_options_that_are_not_given_leave_the_recipe_as_it_was() -> None:
    own = MODELS["haar"].min_score
    made = Recipe(model="haar", model_version="opencv4", min_score=own)
    assert make_recipe("haar", {}) == made
    assert make_recipe("haar", {"min_score": 0.9}).min_score == 0.9
    with pytest.raises(SettingsError, match="--jpeg-quality 101"):
        make_recipe("haar", {"jpeg_quality": 101})


@pytest.mark.parametrize("mode", ["blur", "pixelate", "solid"])
def test_where_faces_are_hidden_the_score_is_lower_and_the_shape_an_ellipse(mode: str) -> None:
    made = make_recipe("yunet", {"mode": mode})
    assert made.min_score == MODELS["yunet"].hiding_score < MODELS["yunet"].min_score
    assert made.shape == Shape.ELLIPSE
    assert not made.copy_rest

    own = make_recipe("yunet", {"mode": mode, "min_score": 0.9, "shape": "box"})
    assert (own.min_score, own.shape) == (0.9, Shape.BOX)


@pytest.mark.parametrize("mode", ["box", "none"])
def test_where_faces_are_shown_nothing_changes(mode: str) -> None:
    made = make_recipe("yunet", {"mode": mode})
    assert (made.min_score, made.shape) == (MODELS["yunet"].min_score, Shape.BOX)


def test_a_wrong_setting_ends_the_program_with_one_line(tmp_path: Path) -> None:
    done = Faces(tmp_path, FACES_SLOTS="many")("detector")
    assert done.returncode == 2
    assert done.stderr.startswith("faces: FACES_SLOTS: ")
    assert len(done.stderr.splitlines()) == 1


def submitted(url: str) -> list[SourceMessage]:
    """What lies in the stream of sources."""
    with redis.Redis.from_url(url) as client:
        entries = entries_in(client.xrange("{faces}:sources"))
    return [SourceMessage.decode(fields[b"m"]) for _, fields in entries]


def put(folder: Path, *names: str, content: bytes = b"picture") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content + name.encode())
    return folder


def test_submit_sends_bytes_and_then_the_end(faces: Faces, redis_url: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "photos", "a.jpg", "b/c.png", "notes.txt")
    done = faces("submit", folder, "--redis", redis_url, "--model", "haar", "--mode", "blur")
    assert done.returncode == 0, done.stderr
    first, end = submitted(redis_url)
    assert done.stdout == f"{first.submission}\n"
    assert [image.name for image in first.images] == ["a.jpg", "b/c.png"]
    assert (first.recipe.model, first.recipe.mode) == ("haar", "blur")
    assert (end.kind, end.part, end.submission) == (SourceKind.END, 1, first.submission)
    with redis.Redis.from_url(redis_url) as client:
        payload = f"{{faces}}:body:{first.images[0].payload.id}"
        assert client.get(payload) == b"picturea.jpg"
        assert client.ttl(payload) == -1  # it lives as long as its entry


def test_submit_by_reference_sends_only_names_also_of_what_is_not_here(
    faces: Faces, redis_url: str, tmp_path: Path
) -> None:
    done = faces("submit", "--by-reference", "/mnt/a b", "local", "--redis", redis_url)
    assert done.returncode == 0
    first, second, end = submitted(redis_url)
    assert (first.uri, second.uri) == ("file:///mnt/a%20b", f"file://{tmp_path}/local")
    assert end.part == 2


def test_submit_tells_of_each_file_that_is_too_large_and_sends_the_rest(
    redis_url: str, tmp_path: Path
) -> None:
    folder = put(tmp_path / "photos", "small.jpg")
    put(folder, "large.jpg", content=b"x" * 200)
    faces = Faces(tmp_path, FACES_INLINE_LIMIT_BYTES="100", FACES_REDIS_URL=redis_url)
    done = faces("submit", folder)
    assert done.returncode == 3
    assert "not sent: large.jpg: 209 bytes, and FACES_INLINE_LIMIT_BYTES allows 100" in done.stderr
    assert [image.name for image in submitted(redis_url)[0].images] == ["small.jpg"]


def test_submit_refuses_a_file_that_redis_can_never_hold_and_sends_the_rest(
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path / "redis", "--maxmemory", "20mb")
    server.start()
    try:
        folder = put(tmp_path / "photos", "small.jpg")
        put(folder, "large.jpg", content=bytes(11 << 20))
        done = Faces(tmp_path, FACES_REDIS_URL=server.url)("submit", folder)
        sent = submitted(server.url)[0]
    finally:
        server.kill()
    assert done.returncode == 3
    assert "not sent: large.jpg: 11," in done.stderr
    assert "Redis takes at most 10,485,760 at once, half of its maxmemory" in done.stderr
    assert [image.name for image in sent.images] == ["small.jpg"]


def test_submit_refuses_what_is_not_there_and_a_server_that_is_away(
    faces: Faces, tmp_path: Path
) -> None:
    missing = faces("submit", "nowhere", "--redis", "redis://127.0.0.1:1")
    assert (missing.returncode, missing.stderr) == (
        2,
        "faces: there is no file or folder 'nowhere'; nothing was sent\n",
    )
    away = faces("submit", put(tmp_path / "p", "a.jpg"), "--redis", "redis://127.0.0.1:1")
    assert away.returncode == 4
    assert "Redis cannot be reached" in away.stderr
    assert faces("submit", "--wait", "p").returncode == 2  # which catalog?


def test_batches_are_few_and_small() -> None:
    many = [(str(n), b"x") for n in range(2 * BATCH_PICTURES + 1)]
    assert [len(batch) for batch in in_batches(many)] == [BATCH_PICTURES, BATCH_PICTURES, 1]
    large = [("a", bytes(BATCH_BYTES)), ("b", b"x"), ("c", bytes(BATCH_BYTES))]
    assert [len(batch) for batch in in_batches(large)] == [1, 1, 1]


def test_reading_goes_on_behind_what_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "c.jpg")
    (tmp_path / "b.jpg").symlink_to("nowhere")
    refused: list[str] = []
    found = [
        name
        for name, _ in pictures(
            [str(tmp_path).encode()],
            Largest(1000),
            refused.append,
            EVERYTHING,
            refused.append,
            Counter(),
        )
    ]
    assert found == ["a.jpg", "c.jpg"]
    assert refused == ["b.jpg: cannot be read: No such file or directory"]


def test_what_a_link_in_a_folder_leads_to_is_not_sent(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.jpg", "c.jpg", "d.jpg")
    put(tmp_path, "private.jpg")
    (tmp_path / "in" / "b.jpg").symlink_to(tmp_path / "private.jpg")
    refused: list[str] = []
    found = pictures(
        [bytes(tmp_path / "in")],
        Largest(1000),
        refused.append,
        EVERYTHING,
        refused.append,
        Counter(),
    )
    assert next(found)[0] == "a.jpg"
    (tmp_path / "in" / "c.jpg").unlink()  # it was walked already
    (tmp_path / "in" / "c.jpg").symlink_to(tmp_path / "private.jpg")
    assert [name for name, _ in found] == ["d.jpg"]
    assert [line.partition(": a link that leads outside")[0] for line in refused] == [
        "b.jpg", "c.jpg",
    ]  # fmt: skip
    given = pictures(
        [bytes(tmp_path / "in" / "b.jpg")],
        Largest(1000),
        refused.append,
        EVERYTHING,
        refused.append,
        Counter(),
    )
    assert [name for name, _ in given] == ["b.jpg"], "what was named itself is sent"


def test_a_pipe_named_like_a_picture_is_not_waited_for(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "c.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    refused: list[str] = []
    found = [
        name
        for name, _ in pictures(
            [bytes(tmp_path)], Largest(1000), refused.append, EVERYTHING, refused.append, Counter()
        )
    ]
    assert found == ["a.jpg", "c.jpg"]
    assert refused == ["b.jpg: it is not a file (a folder, a device or a pipe)"]


def test_what_grows_beyond_the_limit_while_it_is_read_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")

    class Grows(Largest):
        def refuses(self, size: int) -> str:
            told = super().refuses(size)
            (tmp_path / "a.jpg").write_bytes(bytes(2000))
            return told

    refused: list[str] = []
    assert (
        list(
            pictures(
                [bytes(tmp_path)],
                Grows(1000),
                refused.append,
                EVERYTHING,
                refused.append,
                Counter(),
            )
        )
        == []
    )
    assert len(refused) == 1 and "it grew while it was read: 1,001 bytes" in refused[0]


async def test_results_reads_a_catalog_by_folder_or_url(faces: Faces, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    catalog = await Catalog.open(f"sqlite:///{out}/faces.db")
    assert [row async for row in catalog.reader.results(Filter())] == []
    await catalog.close()
    assert faces("results", "-o", out, "--format", "json").stdout == "[]\n"
    url = f"sqlite:///{out}/faces.db"
    assert faces("results", "--database", url, "--format", "json").stdout == "[]\n"
    missing = faces("results", "-o", "nowhere")
    assert missing.returncode == 2
    assert "there is no catalog in nowhere" in missing.stderr
    assert faces("results").returncode == 2


def test_models_are_listed_with_what_is_here(tmp_path: Path) -> None:
    faces = Faces(tmp_path, FACES_MODELS_DIR=str(tmp_path))
    (tmp_path / "centerface.onnx").touch()
    told = json.loads(faces("models", "list", "--json").stdout)
    here = {model["name"]: model["present"] for model in told}
    assert here == {"yunet": False, "centerface": True, "haar": True}
    assert "FACES_MODELS_DIR" in faces("models", "list").stdout


def test_a_suffix_goes_before_the_extension() -> None:
    from pathlib import PurePosixPath

    assert str(with_id(PurePosixPath("a/b.png.jpg"), "0123456789")) == "a/b.png-01234567.jpg"
