"""Every command of docs/operations.md is one that the programs take, about objects that exist."""

import re
import shlex
import shutil
import subprocess
from functools import cache

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from services.cli.app import app
from shared.reasons import Reason
from tests.support.documented import KINDS, TEXT
from tests.support.manifests import (
    ROOT,
    base,
    containers,
    environment,
    every_object,
    named,
    pods,
    settings_of,
)
from tests.support.project import MAKEFILES, make_targets
from tests.support.servers import absent

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

MADE_AT_RUN_TIME = {
    ("Secret", "faces-secrets"),
    ("PersistentVolumeClaim", "data-redis-0"),
    ("PersistentVolumeClaim", "data-postgres-0"),
}
"""The first is made by the bootstrap Job, the others by the StatefulSets."""

HOMES = {
    "redis-cli": ("statefulset/redis",),
    "psql": ("statefulset/postgres",),
    "pg_dump": ("statefulset/postgres",),
    "pg_restore": ("statefulset/postgres",),
    "dropdb": ("statefulset/postgres",),
    "createdb": ("statefulset/postgres",),
    "tar": ("deployment/writer",),
    "faces": ("deployment/writer",),
}
"""Where each program is run by `kubectl exec`."""

SHELL = {"openssl", "printf", "base64", "docker", "kind", "minikube", "k3s", "sed"}
SUBCOMMANDS = {"rollout", "create", "set"}
"""Verbs of kubectl that are followed by a second one."""


def _commands() -> list[list[str]]:
    """Each simple command of the document: of its blocks, and of its tables and prose."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines = [line for line in lines if not re.fullmatch(r"[A-Z]+=\w+", line)]
    lines += re.findall(
        r"`((?:kubectl|faces|make) [^`]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.S)
    )
    commands = []
    for line in lines:
        inner = line.removeprefix("NEW=$(").removesuffix(")") if line.startswith("NEW=") else line
        words: list[str] = []
        lexer = shlex.shlex(inner, posix=True, punctuation_chars="|<>")
        lexer.whitespace_split = True
        for word in [*lexer, "|"]:
            if word == "|":
                commands.append(words)
                words = []
            else:
                words.append(word)
    return [_without_redirection(words) for words in commands]


def _without_redirection(words: list[str]) -> list[str]:
    for mark in "<>":
        if mark in words:
            place = words.index(mark)
            words = words[:place] + words[place + 2 :]
    return words


COMMANDS = _commands()
KUBECTL = [words for words in COMMANDS if words[0] == "kubectl" and len(words) > 2]


def test_the_document_has_its_chapters() -> None:
    for chapter in (
        "Install",
        "Two CPUs",
        "Run a command",
        "Size",
        "Scale",
        "Upgrade",
        "Change servers or components",
        "Back up and restore",
        "Rotate the passwords",
        "Read the dashboard",
        "Empty a dead-letter queue",
        "When Redis is full",
    ):
        assert f"\n## {chapter}\n" in TEXT
    for anchor in re.findall(r"\(#([a-z-]+)\)", TEXT):
        headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_command_is_of_a_program_that_is_checked_here() -> None:
    programs = {words[0] for words in COMMANDS}
    assert programs <= {"kubectl", "faces", "make"} | SHELL
    assert len(KUBECTL) > 40


def faces_commands() -> list[list[str]]:
    inside = [words[words.index("--") + 1 :] for words in KUBECTL if "--" in words]
    return [words[1:] for words in (*COMMANDS, *inside) if words[0] == "faces"]


def test_faces_commands_are_parsed_by_the_program_itself() -> None:
    commands = faces_commands()
    assert len(commands) >= 8
    for words in commands:
        command, rest = get_command(app), list(words)
        while isinstance(command, TyperGroup):
            assert rest and rest[0] in command.commands, f"there is no command {words}"
            command = command.commands[rest.pop(0)]
        command.make_context(words[0], rest)


def test_reasons_that_are_asked_for_are_codes() -> None:
    asked = {
        words[words.index("--reason") + 1] for words in faces_commands() if "--reason" in words
    }
    assert asked and asked <= {reason.value for reason in Reason}


def test_make_targets_exist() -> None:
    makefiles = "".join(path.read_text() for path in MAKEFILES)
    used = {words[1] for words in COMMANDS if words[0] == "make"}
    assert used and used <= make_targets()
    for words in COMMANDS:
        for variable in (word.partition("=")[0] for word in words[2:] if words[0] == "make"):
            assert f"\n{variable} ?=" in makefiles, f"{variable} is no variable of the Makefile"


@cache
def kubectl_help(verb: tuple[str, ...]) -> str:
    if shutil.which("kubectl") is None:
        absent("kubectl")
    parts = [["kubectl", *verb, "--help"], ["kubectl", "options"]]
    said = [subprocess.run(part, capture_output=True, text=True, check=True) for part in parts]
    assert f"kubectl {' '.join(verb)}" in said[0].stdout
    return said[0].stdout + said[1].stdout


def test_kubectl_commands_use_verbs_and_flags_that_kubectl_has() -> None:
    for words in KUBECTL:
        verb = tuple(words[1:3] if words[1] in SUBCOMMANDS else words[1:2])
        if verb == ("create", "secret"):
            verb = tuple(words[1:4])
        own = words[: words.index("--")] if "--" in words else words
        for flag in (word.partition("=")[0] for word in own if word.startswith("-")):
            text = kubectl_help(verb)
            pattern = rf"^\s+(-\w, )?{flag}=" if flag.startswith("--") else rf"^\s+{flag}, --"
            assert re.search(pattern, text, re.MULTILINE), f"{' '.join(words)}: {flag}"


def test_kubectl_commands_are_about_objects_of_the_manifests() -> None:
    have = {(d["kind"], d["metadata"]["name"]) for d in every_object()} | MADE_AT_RUN_TIME
    asked = set()
    for words in KUBECTL:
        own = words[: words.index("--")] if "--" in words else words
        for kind, name in re.findall(r"\b([a-z]+)/([a-z0-9-]+)\b", " ".join(own)):
            if kind in KINDS:
                asked.add((KINDS[kind], name))
        for place, word in enumerate(own[:-1]):
            if word in KINDS and own[1] != "create":
                asked.add((KINDS[word], own[place + 1]))
    assert ("Deployment", "detector") in asked and ("Secret", "faces-secrets") in asked
    assert asked <= have


def test_kubectl_commands_stay_in_the_namespace() -> None:
    for words in KUBECTL:
        if not {words[1], words[2]} & {"-k", "apply", "label"} or "-n" in words:
            assert words[words.index("-n") + 1] == "faces", " ".join(words)


def test_labels_select_pods_that_exist() -> None:
    labels = {
        f"{name}={value}"
        for _, template in pods(every_object())
        for name, value in template["metadata"]["labels"].items()
    }
    for words in KUBECTL:
        if "-l" in words:
            assert words[words.index("-l") + 1] in labels


def test_files_that_are_applied_exist() -> None:
    for words in KUBECTL:
        if words[1] == "apply":
            path = words[-1]
            assert (ROOT / path).exists() or path == "faces-secrets.yaml", path


def test_programs_in_containers_are_those_of_the_images() -> None:
    inside = [(words, words[words.index("--") + 1]) for words in KUBECTL if "--" in words]
    for words, program in inside:
        assert set(HOMES[program]) & set(words), " ".join(words)


def test_a_forwarded_port_collides_with_no_server_of_this_machine() -> None:
    forwards = [words for words in KUBECTL if words[1] == "port-forward"]
    assert forwards
    for words in forwards:
        here, _, there = words[-1].partition(":")
        assert here != there and f"@127.0.0.1:{here}/" in TEXT


def test_removing_what_removes_itself_is_no_error() -> None:
    for words in KUBECTL:
        if words[1:3] == ["delete", "-k"]:
            assert "--ignore-not-found" in words


NEEDS_ALL = {"forget", "sweep", "redo", "submit"}
"""Commands of `faces` that want the object store, or the catalog and Redis both."""


def test_commands_that_change_things_run_where_volume_and_urls_are() -> None:
    used: dict[str, set[str]] = {}
    for words in KUBECTL:
        if "--" in words and words[words.index("--") + 1] == "faces":
            used.setdefault(words[words.index("--") + 2], set()).add(words[words.index("--") - 1])
    assert set(used) >= NEEDS_ALL
    assert set().union(*used.values()) == {"deployment/writer"}
    template = named(base(), "Deployment", "writer")["spec"]["template"]
    wanted = template["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
    [writer] = [one for one in containers(template) if one["name"] == wanted]
    url = environment(writer)["FACES_REDIS_URL"]["valueFrom"]["secretKeyRef"]
    assert url["key"] == "redis-url-admin"
    assert {"FACES_REDIS_URL", "FACES_DATABASE_URL"} <= set(environment(writer))
    [mount] = [one for one in writer["volumeMounts"] if one["mountPath"] == "/objects"]
    assert not mount.get("readOnly")
    assert settings_of(base())["FACES_OBJECTS_URL"] == "file:///objects"


def test_figures_of_settings_are_those_in_force() -> None:
    settings = (ROOT / "k8s" / "settings" / "settings.env").read_text()
    for name, said in (("TASK_TIMEOUT", "60 s"), ("DRAIN", "75 s")):
        value = re.search(rf"^FACES_{name}_SECONDS=(\d+)$", settings, re.MULTILINE)
        assert value
        assert f"`FACES_{name}_SECONDS`" in TEXT and f"{value[1]} s" == said
    detector = (ROOT / "k8s" / "base" / "detector.yaml").read_text()
    assert "terminationGracePeriodSeconds: 90" in detector
    assert "`terminationGracePeriodSeconds`: 90 s" in TEXT
    assert "maxmemory 614mb" in (ROOT / "k8s" / "redis" / "redis.conf").read_text()


def test_where_commands_run_no_log_is_looked_for_in_vain() -> None:
    """The pod's default container is the one for commands, which has no log to speak of."""
    logs = [words for words in KUBECTL if words[1] == "logs" and "deployment/writer" in words]
    assert logs
    for words in logs:
        assert words[words.index("-c") + 1] == "faces", " ".join(words)
    template = named(base(), "Deployment", "writer")["spec"]["template"]
    [said] = [one["args"][0] for one in containers(template) if one["name"] == "commands"]
    assert "kubectl logs -n faces deployment/writer -c faces" in said


def test_the_container_for_commands_ends_when_it_is_told_to() -> None:
    template = named(base(), "Deployment", "writer")["spec"]["template"]
    [one] = [one for one in containers(template) if one["name"] == "commands"]
    with subprocess.Popen([*one["command"], *one["args"]], stdout=subprocess.PIPE) as process:
        assert process.stdout and b"waits for commands" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
