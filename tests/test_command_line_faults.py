"""What a shell does to the command line: homes in quotes, full disks, readers that leave, Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest

from counterforensics import compiled
from counterforensics.attacks.gan_restoration import load_generator
from counterforensics.detectors import load_detector
from counterforensics.errors import CounterforensicsError
from counterforensics.photos.folder import find_photos
from counterforensics.scaffold import write_plug_in
from counterforensics.scaffold import write_study as write_study_template
from counterforensics.study.estimate import estimate_study
from counterforensics.study.evaluate import look_at
from counterforensics.study.run import run_study
from counterforensics.study.settings import load_study
from counterforensics.study.status import status_of
from counterforensics.study.store.remote import open_store
from tests.conftest import Command, tiny_settings, write_study

MODULE = (sys.executable, "-m", "counterforensics")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "demo", "--out", "~nobodyzz/x"),
        ("run", "demo", "--store", "~nobodyzz/x"),
        ("run", "~nobodyzz/s.yaml"),
        ("plan", "demo", "--out", "~nobodyzz"),
        ("plan", "demo", "--photos", "~nobodyzz"),
        ("photos", "~nobodyzz"),
        ("status", "~nobodyzz"),
        ("new", "study", "~nobodyzz/s.yaml"),
        ("evaluate", "--detector", "~nobodyzz", "--photos", "p", "--manipulation", "median:7"),
    ],
)
def test_a_home_of_nobody_is_one_line(refused: Callable[..., str], arguments: tuple[str, ...]) -> None:
    assert "there is no such user, or no home; write the path without ~" in refused(*arguments)


@pytest.mark.parametrize(
    "call",
    [
        open_store,
        load_detector,
        load_generator,
        status_of,
        look_at,
        write_plug_in,
        write_study_template,
        lambda path: find_photos([path]),
        lambda path: load_study(str(path)),
        lambda path: run_study(load_study("demo"), path),
        lambda path: run_study(load_study("demo"), Path("out"), store=str(path)),
        lambda path: estimate_study(load_study("demo"), path),
        lambda path: load_study("demo", photos=[path]),
    ],
)
def test_a_home_of_nobody_is_one_error_of_ours_from_python(
    call: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CounterforensicsError, match=r"'~nobodyzz/x.yaml': there is no such user, or no home; write"):
        call(Path("~nobodyzz/x.yaml"))


def test_a_home_in_quotes_is_a_home(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert command("new", "study", "~/mine.yaml").status == 0
    assert load_study(str(home / "mine.yaml")).name == "mine"
    assert command("plan", "~/mine.yaml", "--out", "~/runs", "--store", "~/store", "--json").status == 0
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("photos", "n" * 300),
        ("status", "n" * 300),
        ("run", "demo", "--out", "n" * 300),
        ("run", "demo", "--out", "out", "--store", "n" * 300),
        ("run", "n" * 300 + ".yaml"),
        ("evaluate", "--detector", "n" * 300, "--photos", "p", "--manipulation", "median:7"),
        ("evaluate", "--detector", "spam-svm/median:7", "--photos", "p", "--manipulation", "n" * 300),
        ("new", "study", "n" * 300 + ".yaml"),
        ("new", "plugin", "n" * 300),
    ],
)
def test_a_name_of_300_letters_is_one_line(
    refused: Callable[..., str], arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nnnn" in refused(*arguments)


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("--version",)])
def test_a_full_disk_behind_standard_output_is_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        answer = subprocess.run([*MODULE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == "counterforensics: cannot write to standard output (No space left on device)\n"


def test_a_reader_that_leaves_ends_the_program_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        answer = subprocess.run(
            [*MODULE, "list", "--json"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(write)
    assert (answer.returncode, answer.stderr) == (1, "")


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from counterforensics.__main__ import main
class Importing:
    def find_spec(self, name, path=None, target=None):
        if name == "counterforensics.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Importing())
sys.argv = ["counterforensics", "list"]
main()
"""
INTERRUPTED_TWICE = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from counterforensics.__main__ import main
import counterforensics.cli
def run():
    threading.Thread(target=threading.Event().wait).start()  # a task that does not end
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
counterforensics.cli.main = run
main()
"""


@pytest.mark.parametrize("script", [INTERRUPTED_WHILE_LOADING, INTERRUPTED_TWICE], ids=["while loading", "twice"])
def test_ctrl_c_is_one_line_at_any_moment(script: str) -> None:
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 128 + signal.SIGINT
    assert answer.stderr == "counterforensics: stopped; finished work is kept, and the same command resumes it\n"


@pytest.mark.parametrize(
    "content",
    [b"[]", b"3", b"", b"name: [1]", b"name: {a: 1}", b"\xff", b"a: &a [*a]", b"- " * 5000, b"name: a\nname: b"],
    ids=["list", "number", "empty", "list as name", "settings as name", "no text", "alias", "deep", "key twice"],
)
def test_a_study_of_another_shape_in_the_out_folder_is_one_line(
    refused: Callable[..., str], tmp_path: Path, content: bytes
) -> None:
    study = write_study(tmp_path / "s.yaml", tiny_settings())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.yaml").write_bytes(content)
    said = refused("run", study, "--out", tmp_path / "out")
    assert said.endswith("study.yaml is not a study's; remove it, or give another folder with --out")


def test_a_pipe_or_a_folder_as_study_in_the_out_folder_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml", tiny_settings())
    (tmp_path / "one" / "study.yaml").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    os.mkfifo(tmp_path / "two" / "study.yaml")
    for out in ("one", "two"):
        assert "study.yaml is not a study's; remove it" in refused("run", study, "--out", tmp_path / out)


SLOWLY = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []  # as where neither packages nor a home can be written
import sys
from counterforensics.__main__ import main
sys.argv = ["counterforensics", "list", "--json"]
from counterforensics.features.spam import s3_spam14hv
import numpy as np
print(s3_spam14hv(np.zeros((1, 8, 8), np.uint8)).sum() > 0, file=sys.stderr)
main()
"""


SUM = "import counterforensics.compiled\n\n@counterforensics.compiled.compiled()\ndef add(a, b): return a + b\n"


def sum_of_a_fresh_start(file: Path) -> Any:
    """2 + 3 by the function in `file`, which is imported, and compiled or read from disk."""
    specification = importlib.util.spec_from_file_location("add", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.add(2, 3)


@pytest.mark.parametrize("content", [b"", bytes(40), b"cos\nsystem\n", None], ids=["", "0", "half a pickle", "folder"])
def test_damaged_compiled_code_is_compiled_again(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(compiled, "_said", set())
    (tmp_path / "add.py").write_text(SUM, encoding="utf-8")
    assert sum_of_a_fresh_start(tmp_path / "add.py") == 5
    kept = list((tmp_path / "kept").rglob("*.nb?"))
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    for path in kept:
        path.unlink()
        path.mkdir() if content is None else path.write_bytes(content)
    for _ in range(2):
        assert sum_of_a_fresh_start(tmp_path / "add.py") == 5
    said = [str(warning.message) for warning in recwarn]
    if content is None:
        assert len(said) == 1
        assert "set NUMBA_CACHE_DIR to a folder that you alone can write to" in said[0]
    else:
        assert said == []
        assert all(path.read_bytes() != content for path in kept)


def test_without_a_folder_for_compiled_code_all_works_and_what_to_set_is_said_once() -> None:
    answer = subprocess.run([sys.executable, "-c", SLOWLY], capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("set NUMBA_CACHE_DIR to a folder that you alone can write to") == 1
    assert "True\n" in answer.stderr
    assert answer.stdout.startswith("{")
