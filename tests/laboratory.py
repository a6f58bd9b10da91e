"""A small data centre on this machine: an S3 server, a Dask scheduler, and workers in network namespaces of their own.

Each worker is a process with its own address behind a link of its own, so it can be killed or cut off as machines are.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from counterforensics.study.schedulers.journal import FOUND

SECONDS_TO_WAIT = 180.0
USER = "laboratory"
KEYS = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": USER, "AWS_DEFAULT_REGION": "us-east-1"}
# A lost worker is noticed in seconds; docs/clusters.md says what to give a real cluster.
PATIENCE = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
}


def ip(*arguments: object) -> None:
    """Run the `ip` command."""
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True)


@functools.cache
def why_not() -> str:
    """Why there can be no laboratory here; "" if there can."""
    if shutil.which("ip") is None:
        return "the command ip is not installed"
    name = f"cf{uuid.uuid4().hex[:8]}"
    try:
        ip("netns", "add", name)
        ip("link", "add", name, "type", "bridge")
        ip("link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
    except subprocess.CalledProcessError as error:
        return f"networks of our own are not allowed ({error.stderr.decode().strip()})"
    finally:
        for words in (("netns", "delete", name), ("link", "delete", name), ("link", "delete", f"{name}v")):
            subprocess.run(["ip", *words], capture_output=True)
    return ""


@dataclass
class Process:
    """A process of the laboratory and what it prints."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: list[str], folder: Path, environment: dict[str, str]) -> Process:
        """Start `command` in a session of its own."""
        log = folder / f"{name}.log"
        with log.open("ab") as printed:
            popen = subprocess.Popen(
                command, env=environment, stdout=printed, stderr=printed, cwd=folder, start_new_session=True
            )
        return cls(name, popen, log)

    def kill(self) -> None:
        """End it at once, as a machine does whose power fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@dataclass
class Laboratory:
    """What runs: `with laboratory(folder) as lab`."""

    folder: Path
    number: int  # of its network, 10.83.NUMBER.0/24
    workers: dict[int, Process] = field(default_factory=dict)
    others: dict[str, Process] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address at which every worker reaches the scheduler and the S3 server."""
        return f"10.83.{self.number}.1"

    @property
    def scheduler(self) -> str:
        """What to give --cluster."""
        return f"tcp://{self.host}:8786"

    @property
    def endpoint(self) -> str:
        """The S3 server."""
        return f"http://{self.host}:5000"

    @property
    def environment(self) -> dict[str, str]:
        """What a process here needs to be part of it."""
        return os.environ | KEYS | PATIENCE | {"FSSPEC_S3_ENDPOINT_URL": self.endpoint}

    def files(self) -> Any:
        """What the S3 server holds."""
        return fsspec.filesystem("s3", key=USER, secret=USER, endpoint_url=self.endpoint, use_listings_cache=False)

    def bucket(self) -> str:
        """The URL of a new bucket."""
        name = f"store-{uuid.uuid4().hex[:12]}"
        self.files().mkdir(name)
        return f"s3://{name}"

    def attempts(self, url: str) -> list[dict[str, Any]]:
        """The journal in the store at `url`, but for notes that nothing had to be done."""
        contents = self.files().cat(f"{url}/log/*")
        notes = [json.loads(content) for content in contents.values()]
        return [note for note in notes if note["outcome"] != FOUND]

    def start_scheduler(self) -> None:
        """Start the scheduler, again if it was killed."""
        self._start(
            "scheduler", "distributed.cli.dask_scheduler", "--host", self.host, "--port", 8786, "--no-dashboard"
        )
        wait(lambda: listens(self.host, 8786), "a scheduler")

    def start_server(self) -> None:
        """Start the S3 server, empty."""
        self._start("s3", "moto.server", "-H", self.host, "-p", 5000)
        wait(lambda: listens(self.host, 5000), "an S3 server")

    def _start(self, name: str, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self.others[name] = Process.start(name, command, self.folder, self.environment)

    def start_worker(self, number: int, *options: str) -> None:
        """Plug in worker `number`, 0 to 9."""
        space, link = f"cf{self.number}w{number}", f"cf{self.number}v{number}"
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", f"cf{self.number}b", "up")
        address = f"10.83.{self.number}.{number + 2}"
        for words in (
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", space, *words)
        copies = self.folder / f"copies-{number}"
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.scheduler, "--host", address]
        command += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", f"worker-{number}"]
        command += ["--local-directory", str(self.folder / f"scratch-{number}"), "--death-timeout", "60", *options]
        environment = self.environment | {"COUNTERFORENSICS_COPIES": str(copies)}
        process = Process.start(f"worker-{number}", ["ip", "netns", "exec", space, *command], self.folder, environment)
        self.workers[number] = process

    def cut_off(self, number: int) -> None:
        """Take down the link of worker `number`: it goes on and hears no one."""
        ip("link", "set", f"cf{self.number}v{number}", "down")

    def unplug(self, number: int) -> None:
        """Remove worker `number` and its network."""
        self.workers.pop(number).kill()
        ip("netns", "delete", f"cf{self.number}w{number}")
        subprocess.run(["ip", "link", "delete", f"cf{self.number}v{number}"], capture_output=True)


@contextlib.contextmanager
def laboratory(folder: Path, workers: int = 3) -> Iterator[Laboratory]:
    """A laboratory with so many workers, as long as the block lasts."""
    lab = Laboratory(folder, os.getpid() % 250 + 1)
    bridge = f"cf{lab.number}b"
    ip("link", "add", bridge, "type", "bridge")
    try:
        ip("addr", "add", f"{lab.host}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        lab.start_server()
        lab.start_scheduler()
        for number in range(workers):
            lab.start_worker(number)
        yield lab
    finally:
        for number in list(lab.workers):
            lab.unplug(number)
        for process in lab.others.values():
            process.kill()
        ip("link", "delete", bridge)


def wait(until: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {SECONDS_TO_WAIT:.0f} s for {what}")
        time.sleep(0.1)


def listens(host: str, port: int) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
