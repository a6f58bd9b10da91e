"""The page, as a person uses it in a browser, and as many clients use it at once."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from counterforensics import attack_photo
from counterforensics.app.clients import Clients
from counterforensics.app.work import StoppableWork, StoppedError
from counterforensics.manipulations import parse
from counterforensics.photos.simulated import simulated_photos
from counterforensics.positions import sliding
from counterforensics.sliding.scan import Scan
from tests.conftest import Command, picture
from tests.test_documents import blocks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 120_000  # ms: a guard against hanging, on a machine that has other work
needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed")
needs_browser = pytest.mark.skipif(
    find_spec("playwright") is None or CHROMIUM is None, reason="playwright or chromium is not installed"
)


# Notes every host that the process connects to, or looks up.
WATCHER = """
import sys
def note(event, values):
    if event in ("socket.connect", "socket.getaddrinfo"):
        at = values[1] if event == "socket.connect" else values
        if isinstance(at, tuple):
            with open({log!r}, "a") as log:
                log.write(str(at[0]) + chr(10))
sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Served:
    """A page in a process of its own.  kept: the folder that holds its temporary files."""

    address: str
    process: subprocess.Popen[str]
    kept: Path

    def files(self) -> set[str]:
        """The names of all files that the page keeps at the moment."""
        return {place.name for place in self.kept.rglob("*") if place.is_file()}

    def peak_memory(self) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = tmp_path_factory.mktemp("kept")
    watched = tmp_path_factory.mktemp("watched")
    (watched / "sitecustomize.py").write_text(WATCHER.format(log=str(watched / "log")), encoding="utf-8")
    environment = {
        **os.environ,
        "TMPDIR": str(kept),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(watched), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-m", "counterforensics", "app", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port} " in line
        yield Served(f"http://127.0.0.1:{port}", process, kept)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert set((watched / "log").read_text(encoding="utf-8").splitlines()) <= {"127.0.0.1", "localhost"}
    assert [place for place in kept.iterdir() if place.name.startswith("counterforensics-app-")] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def client(served: Served, browser: Any) -> Iterator[Any]:
    """The page in a tab of its own, which asks no other host for anything."""
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.address)
    page.wait_for_selector("#detect")
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A part of a simulated photograph, filtered by a median: uint8 [256, 256, 3]."""
    pristine = simulated_photos(devices=1, photos=1)[0].read()[100:356, 200:456]
    return parse("median:7")(np.ascontiguousarray(pristine))


@pytest.fixture
def photo_file(photo: np.ndarray, tmp_path: Path) -> Path:
    place = tmp_path / "filtered photo.png"
    Image.fromarray(photo).save(place)
    return place


def send(client: Any, place: Path) -> None:
    client.set_input_files("#upload input[type=file]", str(place))
    client.wait_for_selector("#preview img")


def choose(client: Any, field: str, option: str) -> None:
    client.click(f"{field} input")
    client.get_by_role("option", name=option, exact=True).click()
    client.keyboard.press("Escape")


def aim_at(client: Any, target: str, manipulate: str) -> None:
    """Open the second tab, and choose a target, the attack that the page suggests, and a manipulation."""
    client.get_by_role("tab", name="Hide traces").click()
    choose(client, "#target", target)
    client.wait_for_function("document.querySelector('#attack-name input').value == 'spam-descent'")
    choose(client, "#manipulate", manipulate)


@needs_gradio
@needs_browser
def test_a_person_detects_attacks_compares_and_downloads(client: Any, photo: np.ndarray, photo_file: Path) -> None:
    send(client, photo_file)
    assert "256x256" in client.inner_text("#preview")
    choose(client, "#detectors", "spam-svm")
    client.click("#detect")
    client.wait_for_selector("#maps img")
    assert re.search(r"median:7\s+spam-svm\s+manipulated\s+100.0% of 81", client.inner_text("#findings"))
    assert "as a whole" in client.inner_text("#findings")
    aim_at(client, "spam-svm/median:7", "nothing")
    client.click("button#attack")
    client.wait_for_selector("#download", state="visible")
    assert "spam-svm/median:7 (target)\t100.0%\t0.0%" in client.inner_text("#figures")
    assert re.search(r"PSNR \d\d\.\d\d dB, SSIM 0\.\d+; largest change \d+ grey levels", client.inner_text("#figures"))
    client.wait_for_function(
        "[...document.querySelectorAll('#slider img')].filter(one => one.naturalWidth == 256).length == 2"
    )
    assert client.evaluate("document.querySelector('#difference img').naturalWidth") == 256
    with client.expect_download() as downloading:
        client.click("#download")
    assert re.fullmatch(r"[0-9a-f]{8}-filtered.?photo-concealed\.png", downloading.value.suggested_filename)
    got = np.asarray(Image.open(downloading.value.path()))
    expected = attack_photo(photo, detector="spam-svm/median:7", attack="spam-descent")
    assert np.array_equal(got, expected.concealed.photo)
    assert not np.array_equal(got, photo)


@needs_gradio
@needs_browser
def test_work_stops_and_nothing_is_kept_of_a_client_that_leaves(
    served: Served, client: Any, browser: Any, photo: np.ndarray, tmp_path: Path
) -> None:
    def begins(page: Any, name: str) -> None:
        """An attack that does not end soon: it needs every sweep that it may have."""
        place = tmp_path / name
        Image.fromarray(np.tile(photo, (2, 2, 1))).save(place)
        send(page, place)
        aim_at(page, "spam-svm/median:7", "nothing")
        page.fill("#attack-name input", "spam-gradient")
        page.keyboard.press("Enter")
        page.click("button#attack")
        page.wait_for_function("document.querySelector('#attack-status').innerText.includes('sweep 1:')")

    begins(client, "stopped.png")
    client.click("#attack-stop")
    client.wait_for_function("document.querySelector('#attack-status').innerText.includes('Stopped')")
    assert not client.is_visible("#download")
    context = browser.new_context()
    leaving = context.new_page()
    leaving.set_default_timeout(PATIENCE)
    leaving.goto(served.address)
    begins(leaving, "left.png")
    assert "left.png" in served.files()
    context.close()
    # The one that stays is served: the job of the other has ended.
    client.get_by_role("tab", name="Detect").click()
    choose(client, "#detectors", "spam-svm")
    choose(client, "#asked", "median:7")
    client.click("#detect")
    client.wait_for_selector("#maps img")
    assert "left.png" not in served.files()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb() -> bytes:
    """A PNG file of few bytes whose header says 10000x9000 pixels."""
    header = struct.pack(">IIBBBBB", 10_000, 9_000, 8, 2, 0, 0, 0)
    zeros = zlib.compress(bytes(30_001 * 90))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zeros) + png_chunk(b"IEND", b"")


@needs_gradio
@needs_browser
def test_what_cannot_be_used_gets_one_clear_sentence(client: Any, photo_file: Path, tmp_path: Path) -> None:
    def said(name: str, content: bytes) -> str:
        place = tmp_path / name
        place.write_bytes(content)
        client.set_input_files("#upload input[type=file]", str(place))
        client.wait_for_function("name => document.querySelector('#trouble').innerText.includes(name)", arg=name)
        assert client.locator("#preview img").count() == 0
        line = str(client.inner_text("#trouble").strip())
        client.get_by_label("Clear").first.click()
        client.wait_for_function("document.querySelector('#trouble').innerText.trim() == ''")
        return line

    assert said("bomb.png", bomb()) == "bomb.png: more than 50 megapixels, the most that this page takes"
    assert said("notes.txt", b"Dear reader").startswith("notes.txt: .txt is not read; ")
    assert said("notes.png", b"Dear reader").startswith("notes.png: not a JPEG")
    assert "truncated" in said("cut.png", photo_file.read_bytes()[:20_000])
    with (tmp_path / "large.png").open("wb") as large:
        large.truncate(200_000_000)
    client.set_input_files("#upload input[type=file]", str(tmp_path / "large.png"))
    client.wait_for_function("document.body.innerText.includes('maximum allowed size of 64.0')")


@needs_gradio
@needs_browser
def test_what_cannot_be_attacked_gets_one_clear_sentence(client: Any, photo_file: Path, tmp_path: Path) -> None:
    def answered(part: str) -> None:
        client.click("button#attack")
        client.wait_for_function(
            "part => document.querySelector('#attack-status .cf-error')?.innerText.includes(part)", arg=part
        )

    client.get_by_role("tab", name="Hide traces").click()
    answered("Choose a photograph first.")
    send(client, photo_file)
    aim_at(client, "spam-svm/median:7", "nothing")
    client.fill("#region input, #region textarea", "200,200,100,100")
    answered("does not lie in a photograph of 256x256 pixels")
    client.fill("#region input, #region textarea", "everything")
    answered("The region must be X,Y,WIDTH,HEIGHT in whole pixels, got 'everything'")
    client.fill("#region input, #region textarea", "")
    client.fill("#attack-name input", "pgd")
    client.keyboard.press("Enter")
    answered("needs gradients")
    small = tmp_path / "small.png"
    Image.fromarray(picture(0, 100, 90)).save(small)
    client.fill("#attack-name input", "spam-descent")
    client.keyboard.press("Enter")
    client.get_by_label("Clear").first.click()
    client.wait_for_function("document.querySelector('#preview img') == null")
    send(client, small)
    answered("100x90 is smaller than a 128x128 patch")


@needs_gradio
def test_fifty_clients_at_once_are_served(served: Served, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    def ask(number: int) -> str:
        place = tmp_path / f"{number}.png"
        Image.fromarray(picture(number, 160, 144)).save(place)
        client = Client(served.address, verbose=False)
        together.wait(PATIENCE / 1000)
        try:
            status, findings, _ = client.predict(handle_file(place), ["spam-svm"], ["median:7"], api_name="/detect")
        finally:
            client.close()
        assert "Every detector has answered" in status
        return str(findings)

    together = threading.Barrier(50)
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(ask, range(50)))
    assert all("median:7" in answer for answer in answers)
    assert served.peak_memory() < 4 * 2**30


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "counterforensics.app.page", raising=False)
    assert refused("app") == "the page needs the extra app: pip install 'counterforensics[app]'"
    assert "--port must be a whole number from 1 to 65,535, got '0'" in refused("app", "--port", "0")


def test_a_port_that_is_taken_is_named(refused: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("app", "--port", port) == (
            f"cannot serve on port {port} (Address already in use); give another one with --port"
        )


@needs_gradio
def test_a_name_that_leads_here_is_no_way_in(served: Served) -> None:
    request = urllib.request.Request(served.address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=PATIENCE / 1000)
    with urllib.request.urlopen(served.address, timeout=PATIENCE / 1000) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")


def test_the_commands_of_the_page_on_one_photograph_work(
    command: Command, photo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo_file.rename("photo.png")
    serving: list[int] = []
    monkeypatch.setattr("counterforensics.app.serve", lambda port, **_: serving.append(port))
    lines = [line.split("#")[0] for block in blocks("docs/one-photograph.md", "sh") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("counterforensics ")]
    assert [words[0] for words in commands] == ["detect", "detect", "attack", "app"]
    for words in commands:
        answer = command(*words)
        assert answer.status == 0, (words, answer)
    assert {place.name for place in tmp_path.iterdir()} >= {"maps", "concealed.png"}
    assert serving == [7860]
    (code,) = blocks("docs/one-photograph.md", "python")
    exec(compile(code, "one-photograph.md", "exec"), {})
    assert (tmp_path / "hidden.png").exists()


@pytest.mark.parametrize("name", ["detect", "attack"])
def test_the_pictures_of_the_page_on_one_photograph_are_shown(name: str) -> None:
    page = Path(__file__).parents[1] / "docs" / "one-photograph.md"
    assert f"(images/one-photograph-{name}.png)" in page.read_text(encoding="utf-8")


def test_a_job_says_how_far_it_is_and_stops_when_told() -> None:
    def work(say: Callable[[str], None]) -> int:
        for number in range(3):
            say(f"step {number}")
        return 7

    job = StoppableWork(work, threading.Event())
    assert list(job.lines())[-3:] == ["step 0", "step 1", "step 2"]
    assert job.result() == 7
    stop = threading.Event()

    def endless(say: Callable[[str], None]) -> None:
        while True:
            say("on and on")

    stopped = StoppableWork(endless, stop)
    for line in stopped.lines():
        if line == "on and on":
            stop.set()
    with pytest.raises(StoppedError):
        stopped.result()
    closed = StoppableWork(endless, threading.Event())
    lines = closed.lines()
    next(lines)
    with contextlib.closing(lines):
        pass
    with pytest.raises(StoppedError):
        closed.result()


def test_the_files_of_a_client_go_with_it(tmp_path: Path) -> None:
    clients = Clients(tmp_path)

    def upload(name: str) -> Path:
        place = tmp_path / name / "photo.png"
        place.parent.mkdir()
        place.write_bytes(b"x")
        return place

    shared, own, earlier = upload("shared"), upload("own"), upload("earlier")
    clients.received("a", earlier)
    clients.received("a", shared)
    clients.received("b", shared)
    assert not earlier.exists()
    clients.received("c", own)
    served = clients.place("a", "after.png")
    served.write_bytes(b"y")
    clients.leave("a")
    assert (shared.exists(), own.exists(), served.exists()) == (True, True, False)
    clients.leave("b")
    clients.leave("nobody")
    assert (shared.exists(), own.exists()) == (False, True)
    assert [place.name for place in tmp_path.iterdir()] == ["own"]


def test_pictures_made_smaller_show_the_same_places() -> None:
    from counterforensics.app import views

    photo = np.zeros((1500, 2200, 3), dtype=np.uint8)
    positions = sliding(1500, 2200, stride=64, side=128)
    logits = np.random.default_rng(0).normal(size=positions.shape).astype(np.float32)
    found = Scan(positions, logits, np.zeros(positions.shape, dtype=bool), 1500, 2200)
    small = views.shrunk(photo)
    assert small.shape == (375, 550, 3)
    apart = np.abs(views.smaller(found, 4).flag_map(0.0) - found.flag_map(0.0)[2::4, 2::4])
    assert np.median(apart) == 0
    assert apart.mean() < 0.02


def test_names_are_shown_and_not_obeyed() -> None:
    from counterforensics.app import views

    assert "<script>" not in views.status("<script>alert(1)</script>\x1b", wrong=True)
