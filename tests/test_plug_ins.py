"""Plug-ins of other packages: written, installed, run, changed and broken, as a stranger would do it."""

from __future__ import annotations

import csv
import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import BaseModel
from torch import Tensor

from counterforensics import manipulations
from counterforensics.attacks.base import Attack, Concealed, PreparedAttack
from counterforensics.detectors.base import Detector
from counterforensics.errors import CounterforensicsError, NameNotFoundError, PlugInError, StudyError
from counterforensics.manipulations import Manipulation
from counterforensics.manipulations.median import MedianFilter
from counterforensics.names import Registry, broken_plug_ins
from counterforensics.photos.patches import Pairs
from counterforensics.scaffold import write_plug_in
from counterforensics.scaffold import write_study as write_new_study
from counterforensics.streams import output_as_errors
from counterforensics.study.settings import (
    AttackSettings,
    DetectorSettings,
    PatchSettings,
    PhotoSettings,
    SimulatedSettings,
    SplitSettings,
    Study,
    load_study,
)
from counterforensics.study.store.remote import open_store
from counterforensics.testing import check_attack
from tests.conftest import Command, write_study

Refused = Callable[..., str]
EntryPoints = Mapping[str, Mapping[str, str]]
COMMAND = "from counterforensics.cli import main; main()"
# Several commands that end well, in one process: most of the time of one goes into its start.
SEVERAL = """
import sys
from counterforensics.cli import main

for sys.argv[1:] in {commands}:
    try:
        main()
    except SystemExit as leaving:
        assert not leaving.code
"""
WITHOUT_REPORT = f"import counterforensics.report as report; report.write_report = lambda outcome, out: out; {COMMAND}"


# --- installed packages, as other installers leave them


@dataclass(frozen=True)
class Site:
    """A folder of installed packages."""

    folder: Path

    def add(self, package: str, modules: Mapping[str, str], entry_points: EntryPoints) -> None:
        """Install version 1.0 of a package.  modules: file -> source.  entry_points: group -> name -> value."""
        for file, source in modules.items():
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).write_text(textwrap.dedent(source), encoding="utf-8")
        described = self.folder / f"{package.replace('-', '_')}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        groups = [
            f"[counterforensics.{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in entry_points.items()
        ]
        (described / "entry_points.txt").write_text("\n".join(groups))

    def add_manipulation(self, source: str, *, name: str = "soften", value: str = "softener:Soften") -> None:
        """Install a package `softener` of one module."""
        self.add("softener", {"softener.py": source}, {"manipulations": {name: value}})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder of packages that this process can import until the test ends."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(sys.modules[name]):
            del sys.modules[name]
    gc.collect()  # registries of this test say no more of broken plug-ins


def fresh() -> Registry[Manipulation]:
    """A registry that has not looked for plug-ins yet."""
    return Registry("manipulation", Manipulation, {"median": MedianFilter})  # type: ignore[type-abstract]


HEAD = """\
    from dataclasses import dataclass
    from counterforensics.manipulations.base import Manipulation
"""
GOOD = f"""{HEAD}
    @dataclass(frozen=True)
    class Soften(Manipulation):
        amount: float = 1
        size: int = 3
        fast: bool = False
        mode: str = "mean"

        def __call__(self, photo):
            return photo // 2
"""


@pytest.mark.parametrize("first", ["", "from __future__ import annotations\n"], ids=["plain", "postponed"])
def test_settings_work_with_and_without_postponed_annotations(site: Site, first: str) -> None:
    site.add_manipulation(first + textwrap.dedent(GOOD))
    known = fresh()
    soften = known.parse("soften:2,size=5,fast=true")
    assert repr(soften) == "Soften(amount=2.0, size=5, fast=True, mode='mean')"
    assert known.text_form(soften) == "soften:amount=2,size=5,fast=True"
    assert known.code_of(soften)["distribution"] == "softener 1.0"
    assert known.code_of(MedianFilter(3)) == {}
    assert sorted(known) == ["median", "soften"]
    with pytest.raises(StudyError, match="soften:size must be of type int, got 'big'"):
        known.parse("soften:size=big")


def test_our_own_parts_are_found_without_importing_plug_ins(site: Site) -> None:
    site.add_manipulation("raise SystemExit('imported')\n")
    known = fresh()
    assert known.text_form(known.parse("median:7")) == "median:7"
    assert broken_plug_ins() == []
    assert "soften" not in known
    assert len(broken_plug_ins()) == 1


# --- bad plug-ins: each one line, and the others work

BROKEN = {
    "raises": ("raise RuntimeError('no such\\n  luck')", "softener:Soften", "RuntimeError: no such luck"),
    "exits": ("raise SystemExit('bye')", "softener:Soften", "SystemExit: bye"),
    "is skipped by pytest": (
        "import pytest\npytest.importorskip('nowhere')",
        "softener:Soften",
        "Skipped: could not import 'nowhere'",
    ),
    "raises what is no Exception": (
        "class Stop(BaseException): pass\nraise Stop('here')",
        "softener:Soften",
        "Stop: here",
    ),
    "an error that cannot be shown": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "softener:Soften",
        "Mute",
    ),
    "misspelt": (f"{HEAD}    clas Soften: pass", "softener:Soften", "SyntaxError: invalid syntax"),
    "no module": (GOOD, "softner:Soften", "ModuleNotFoundError: No module named 'softner'"),
    "no class": (GOOD, "softener:Softer", "AttributeError: module 'softener' has no attribute 'Softer'"),
    "no colon": (GOOD, "softener", "its entry point must read MODULE:CLASS, got 'softener'"),
    "a module": ("import json", "softener:json", "json is a module; name a class in it, json:CLASS"),
    "no entry point": (GOOD, "softener Soften", "its entry point must read MODULE:CLASS, got 'softener Soften'"),
    "an instance": (f"{GOOD}\n    soften = Soften()", "softener:soften", "is an instance; name its class, Soften"),
    "a function": ("def soften(photo): return photo", "softener:soften", "soften is no subclass of counterforensics."),
    "another kind": (
        "from counterforensics.detectors.spam_svm import SpamSvm",
        "softener:SpamSvm",
        "SpamSvm is no subclass of counterforensics.manipulations.Manipulation",
    ),
    "one of ours": (
        "from counterforensics.manipulations.median import MedianFilter",
        "softener:MedianFilter",
        "MedianFilter is registered as 'median' already; a class has one name",
    ),
    "no dataclass": (
        GOOD.replace("@dataclass(frozen=True)", ""),
        "softener:Soften",
        "Soften is no frozen dataclass; write @dataclass(frozen=True) above the class",
    ),
    "not frozen": (GOOD.replace("(frozen=True)", ""), "softener:Soften", "Soften is no frozen dataclass; write @datac"),
    "a field without @dataclass": (
        f"{GOOD}\n    class Softer(Soften):\n        passes: int = 2",
        "softener:Softer",
        "its setting 'passes' is no field; write @dataclass(frozen=True) above the class",
    ),
    "no method": (
        GOOD.replace("__call__", "apply"),
        "softener:Soften",
        "Soften lacks __call__, which counterforensics.manipulations.Manipulation asks for",
    ),
    "a list": (
        GOOD.replace("size: int = 3", "size: 'list[int]' = None"),
        "softener:Soften",
        "its setting 'size' is of type list[int]; a text form carries int, float, str and bool",
    ),
    "a path": (
        "from pathlib import Path\n" + textwrap.dedent(GOOD).replace("size: int = 3", "size: Path = Path('x')"),
        "softener:Soften",
        "its setting 'size' is of type Path; a text form carries",
    ),
    "or nothing": (
        GOOD.replace("size: int = 3", "size: int | None = None"),
        "softener:Soften",
        "its setting 'size' is of type int | None; a text form carries",
    ),
    "an unknown type": (
        GOOD.replace("size: int = 3", "size: 'Size' = 3"),
        "softener:Soften",
        "a type in Soften cannot be read (NameError: name 'Size' is not defined); import it outside of TYPE_CHECKING",
    ),
    "a default of another type": (
        GOOD.replace("size: int = 3", "size: int = '3'"),
        "softener:Soften",
        "its setting 'size' is of type int and has the default '3'",
    ),
    "a default from a function": (
        GOOD.replace("size: int = 3", "size: int = __import__('dataclasses').field(default_factory=int)"),
        "softener:Soften",
        "its setting 'size' has a default_factory; write a plain default",
    ),
    "a setting of our name": (
        GOOD.replace("size: int = 3", "moves_pixels: bool = True"),
        "softener:Soften",
        "its setting 'moves_pixels' has the name of something that counterforensics.manipulations.Manipulation defines"
        "; choose another, or write `moves_pixels: ClassVar[...]` if it is no setting",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_named_in_one_line_and_the_rest_works(case: str, site: Site) -> None:
    source, value, said = BROKEN[case]
    site.add_manipulation(source, value=value)
    site.add("other", {"other.py": GOOD}, {"manipulations": {"other": "other:Soften"}})
    known = fresh()
    assert sorted(known) == ["median", "other"]
    (line,) = known.broken.values()
    assert line.startswith(f"the plug-in 'soften' ({value} of softener 1.0) cannot be used: ")
    assert said in line
    assert "\n" not in line
    assert known.broken_met == [line]
    with pytest.raises(PlugInError) as raised:
        known.parse("soften:2")
    assert str(raised.value) == line
    assert known.parse("median:3") == MedianFilter(3)
    with pytest.raises(NameNotFoundError, match="unknown manipulation 'sofen'"):
        known.parse("sofen")


PRINTS = """
import os, sys
print("hello from a plug-in")
sys.__stdout__.write("around the redirection\\n")
os.system("echo from a child")
os.write(1, b"from a library in C\\n")
"""


def test_what_a_plug_in_prints_while_it_is_loaded_goes_to_standard_error(site: Site) -> None:
    site.add_manipulation(PRINTS + textwrap.dedent(GOOD))
    answer = ask(site.folder, "list", "--json")
    assert json.loads(answer.stdout)["plug_ins"]["manipulations"] == ["soften"]
    for line in ("hello from a plug-in", "around the redirection", "from a child", "from a library in C"):
        assert f"{line}\n" in answer.stderr


def test_standard_output_comes_back_when_the_last_thread_has_left(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with output_as_errors():
            entered.wait()
            print("meanwhile")

    entered = threading.Barrier(5)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    entered.wait()
    for thread in threads:
        thread.join()
    print("afterwards")
    os.write(1, b"and below\n")
    printed = capfd.readouterr()
    assert (printed.out, printed.err.count("meanwhile")) == ("afterwards\nand below\n", 4)


def test_output_is_redirected_where_a_process_has_none() -> None:
    code = (
        "import os, sys; os.close(1); sys.stdout = None\n"
        "from counterforensics.streams import output_as_errors\n"
        "with output_as_errors():\n    print('here')\n"
        "assert sys.stdout is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "here\n")


def test_a_name_of_ours_stays_ours(site: Site) -> None:
    site.add_manipulation(GOOD, name="median")
    known = fresh()
    assert known["median"] is MedianFilter
    assert "the name is taken: counterforensics has a manipulation 'median'" in known.broken["median"]
    assert known.parse("median:3") == MedianFilter(3)


def test_of_two_plug_ins_of_one_name_the_first_by_package_works(site: Site) -> None:
    site.add("zebra", {"zebra.py": GOOD}, {"manipulations": {"soften": "zebra:Soften"}})
    site.add("ape", {"ape.py": GOOD}, {"manipulations": {"soften": "ape:Soften"}})
    known = fresh()
    assert known.plug_ins["soften"].distribution == "ape 1.0"
    assert type(known.parse("soften:2")).__module__ == "ape"
    assert known.broken["soften"] == (
        "the plug-in 'soften' (zebra:Soften of zebra 1.0) cannot be used: the name is taken by ape of ape 1.0"
    )


@pytest.mark.parametrize("name", ["soft en", "soft/en", "-soften", "soft,en"])
def test_a_name_that_no_text_form_can_hold_is_refused(site: Site, name: str) -> None:
    site.add_manipulation(GOOD, name=name)
    assert "its name may hold letters, digits, dots, dashes and underscores alone" in fresh().broken[name]


def test_what_a_plug_in_raises_for_a_setting_is_one_line(site: Site) -> None:
    check = '\n        def __post_init__(self):\n            raise ValueError("amount must be\\n positive")\n'
    site.add_manipulation(GOOD + check)
    with pytest.raises(StudyError) as raised:
        fresh().parse("soften:-1")
    assert str(raised.value) == "soften:amount=-1: ValueError: amount must be positive"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("version = 'two'", "soften: its version must be a whole number, got 'two'"),
        ("files = 3", "soften: its files must be a tuple of pathlib.Path, got 3"),
        ("files = ('a.txt',)", "soften: its files must be a tuple of pathlib.Path, got ('a.txt',)"),
        ("files = property(lambda self: self.nothing)", "soften:amount=2: AttributeError: 'Soften' object has"),
    ],
)
def test_a_part_that_no_key_can_be_made_of_is_one_line(site: Site, change: str, said: str) -> None:
    site.add_manipulation(f"{GOOD}\n        {change}\n")
    with pytest.raises(CounterforensicsError) as raised:
        fresh().parse("soften:2")
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("None", "gives no photograph back: a photograph must be uint8 [h, w, 3], got NoneType"),
        ("photo.nothing", "the plug-in 'soften' failed: AttributeError: 'numpy.ndarray' object has no attribute"),
        ("__import__('cv2').blur(photo, 3)", "the plug-in 'soften' failed: error: OpenCV("),
    ],
)
def test_a_plug_in_that_fails_at_its_work_is_one_line(
    site: Site, photo_folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, gives: str, said: str
) -> None:
    site.add_manipulation(GOOD.replace("photo // 2", gives))
    monkeypatch.setattr(manipulations, "MANIPULATIONS", fresh())
    asked = ("--detector", "spam-svm/median:7", "--photos", photo_folder, "--manipulation", "soften:2")
    assert said in refused("evaluate", *asked)


def test_a_gradient_attack_without_its_name_lacks_it(site: Site) -> None:
    source = """
        from dataclasses import dataclass
        from counterforensics.attacks.base import GradientAttack

        @dataclass(frozen=True)
        class Nudge(GradientAttack):
            def conceal(self, patches, detector, *, seed):
                return patches
    """
    site.add("nudger", {"nudger.py": source}, {"attacks": {"nudge": "nudger:Nudge"}})
    known = Registry("attack", Attack, {})  # type: ignore[type-abstract]
    assert "Nudge lacks name, which counterforensics.attacks.Attack asks for" in known.broken["nudge"]


# --- imports in any order, from any thread


def test_a_plug_in_that_asks_for_plug_ins_while_it_is_imported_is_there_afterwards(site: Site) -> None:
    known = fresh()
    asks = "import tests.test_plug_ins as here\n    HERE = list(here.ASKED)\n"
    site.add_manipulation(f"    {asks}{GOOD}")
    site.add("eager", {"eager.py": GOOD}, {"manipulations": {"eager": "eager:Soften"}})
    ASKED[:] = [known]
    module = importlib.import_module("softener")
    assert sorted(known) == ["eager", "median", "soften"]
    assert known["soften"] is module.Soften
    assert known.broken == {}


ASKED: list[Registry[Manipulation]] = []


def test_the_module_of_a_plug_in_may_look_into_the_registry(site: Site) -> None:
    looks = "import tests.test_plug_ins as here\n    SEEN = [sorted(one) for one in here.ASKED]\n"
    site.add_manipulation(f"    {looks}{GOOD}")
    known = fresh()
    ASKED[:] = [known]
    module = importlib.import_module("softener")
    assert module.SEEN == [["median"]]
    assert sorted(known) == ["median", "soften"]
    assert known.broken == {}


def test_many_threads_get_the_same_plug_ins(site: Site) -> None:
    site.add_manipulation(f"    import time\n    time.sleep(0.2)\n{GOOD}")
    known = fresh()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(known["soften"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [known["soften"]] * 8


def test_a_thread_that_imports_a_plug_in_and_one_that_lists_them_do_not_wait_for_each_other(site: Site) -> None:
    looks = (
        "import time, tests.test_plug_ins as here\n    time.sleep(0.3)\n    SEEN = [sorted(one) for one in here.ASKED]"
    )
    site.add_manipulation(f"    {looks}\n{GOOD}")
    known = fresh()
    ASKED[:] = [known]
    threads = [
        threading.Thread(target=importlib.import_module, args=("softener",), daemon=True),
        threading.Thread(target=lambda: sorted(known), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(known) == ["median", "soften"]


# --- what tells changed code from other code

USES = f"""{HEAD}
    from soft.inner import tables
    from .helpers import halve

    @dataclass(frozen=True)
    class Soften(Manipulation):
        def __call__(self, photo):
            return halve(photo)
"""
PACKAGE = {
    "soft/__init__.py": "",
    "soft/soften.py": USES,
    "soft/helpers.py": "def halve(photo): return photo // 2",
    "soft/inner/__init__.py": "",
    "soft/inner/tables.py": "",
    "soft/unused.py": "",
}


def digest_of(folder: Path, changes: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of the plug-in of PACKAGE, with `changes`, as a process that has just started sees it."""
    folder.mkdir()
    Site(folder).add("soft", {**PACKAGE, **changes}, {"manipulations": {"soften": "soft.soften:Soften"}})
    with monkeypatch.context() as patched:
        patched.syspath_prepend(folder)
        known = fresh()
        code = known.code_of(known.parse("soften"))
        for name in [name for name in sys.modules if name.partition(".")[0] == "soft"]:
            del sys.modules[name]
    return code["source"]


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("soft/soften.py", True),
        ("soft/helpers.py", True),
        ("soft/inner/tables.py", True),
        ("soft/unused.py", False),
    ],
)
def test_the_digest_follows_the_imports_of_a_plug_in(
    file: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(tmp_path / "one", {}, monkeypatch)
    assert digest_of(tmp_path / "same", {}, monkeypatch) == before
    changed = textwrap.dedent(PACKAGE[file]) + "\n# changed\n"
    assert (digest_of(tmp_path / "other", {file: changed}, monkeypatch) != before) is counts


# --- the commands around a broken plug-in

ONE_MODULE = '''
from dataclasses import dataclass

import numpy as np
import torch

from counterforensics import attacks, detectors, manipulations
from counterforensics.attacks.base import Concealed, PreparedAttack
from counterforensics.detectors.base import Network
from counterforensics.errors import TrainingError


@dataclass(frozen=True)
class Darken(manipulations.Manipulation):
    """Fewer grey levels."""

    levels: int

    def __call__(self, photo):
        return (photo // self.levels * self.levels).astype(np.uint8)


class Coarseness(Network):
    def __init__(self):
        super().__init__()
        self.threshold = torch.nn.Parameter(torch.zeros(()))

    def measure(self, pixels):
        return -pixels.diff(dim=-1).abs().sin().mean((1, 2, 3))

    def logits(self, pixels):
        return self.measure(pixels) - self.threshold


@dataclass(frozen=True)
class CoarsenessRecipe(detectors.Recipe):
    share: float = 0.5

    def build(self):
        return Coarseness()

    def train(self, pairs, *, seed, monitor=None):
        if not len(pairs):
            raise TrainingError("no pairs to train on")
        network = self.build()
        means = [
            torch.cat([network.measure(torch.from_numpy(some).float()) for some in patches.batches(64)]).mean()
            for patches in (pairs.pristine, pairs.manipulated)
        ]
        network.threshold.data = (self.share * means[0] + (1 - self.share) * means[1]).detach()
        return network.eval()


@dataclass(frozen=True)
class Dither(attacks.Attack):
    loud: bool = False

    needs_target = False

    def prepare(self, target, pairs, *, seed):
        return PreparedAttack(lambda patches, originals: Concealed(patches ^ (3 if self.loud else 1)))
'''
THREE = {
    "manipulations": {"darken": "one_module:Darken"},
    "detectors": {"coarseness": "one_module:CoarsenessRecipe"},
    "attacks": {"dither": "one_module:Dither"},
}
REASON = "cannot be used: RuntimeError: out of order"
BROKEN_LINES = {
    group: f"the plug-in 'broken' (broken_one:Part of broken-one 1.0) {REASON}"
    for group in ("manipulations", "detectors", "attacks")
}


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts in one module, without postponed annotations, and a broken package beside it."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.add("one-module", {"one_module.py": ONE_MODULE}, THREE)
    broken = {group: {"broken": "broken_one:Part"} for group in THREE}
    site.add("broken-one", {"broken_one.py": "raise RuntimeError('out of\\norder')"}, broken)
    return site.folder


def ask(site: Path, *arguments: object, code: str = COMMAND, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `counterforensics ARGUMENTS`, or other code, in a process that finds the packages of `site`."""
    folders = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=site.parent)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def said_of(*groups: str) -> str:
    """What is said on standard error of the broken plug-ins of these groups: they have one name and one line."""
    return "".join(dict.fromkeys(f"counterforensics: {BROKEN_LINES[group]}\n" for group in groups))


def test_list_marks_plug_ins_and_names_the_broken_one_once(beside: Path) -> None:
    answer = ask(beside, "list", "--json")
    assert answer.stderr == said_of(*THREE)
    listed = json.loads(answer.stdout)
    assert listed["plug_ins"] == {**{group: list(parts) for group, parts in THREE.items()}, "platforms": []}
    packages = {group: dict.fromkeys(parts, "one-module 1.0") for group, parts in THREE.items()}
    assert listed["plug_in_packages"] == {**packages, "platforms": {}}
    broken = {group: {"broken": BROKEN_LINES[group]} for group in THREE}
    assert listed["broken_plug_ins"] == {**broken, "platforms": {}}
    assert {"darken", "median"} <= set(listed["manipulations"])
    assert "broken" not in listed["attacks"]


def test_list_shows_people_the_package_of_a_plug_in(beside: Path) -> None:
    shown = ask(beside, "list").stdout.splitlines()
    (line,) = [line for line in shown if "dither" in line]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == ["dither", "loud=False", "one-module 1.0"]
    (line,) = [line for line in shown if "spam-gradient" in line]
    assert line.split("│")[-2].strip() == ""


def test_other_commands_work_beside_a_broken_plug_in(beside: Path, photo_folder: Path, finished: Path) -> None:
    commands = [["photos", str(photo_folder)], ["status", str(finished)]]
    assert ask(beside, code=SEVERAL.format(commands=commands)).stderr == ""
    detector = finished / "detectors" / "0" / "spam-svm" / "median:7"
    arguments = ("evaluate", "--detector", detector, "--photos", photo_folder, "--per-photo", 1, "--json")
    answer = ask(beside, *arguments, "--manipulation", "darken:4")
    assert answer.stderr == said_of("manipulations")
    assert json.loads(answer.stdout)["manipulation"] == "darken:4"
    answer = ask(beside, *arguments, "--manipulation", "broken", status=2)
    assert (answer.stdout, answer.stderr) == ("", said_of("manipulations"))


@pytest.mark.parametrize("module", ["one_module", "counterforensics.attacks"])
def test_a_plug_in_and_our_modules_are_imported_in_any_order(beside: Path, module: str) -> None:
    code = (
        f"import {module}, one_module\n"
        "from counterforensics import attacks, detectors, manipulations\n"
        "assert detectors.parse('coarseness') == one_module.CoarsenessRecipe()\n"
        "assert manipulations.parse('darken:4') == one_module.Darken(4)\n"
        "assert attacks.parse('dither:loud=true') == one_module.Dither(True)\n"
    )
    assert ask(beside, code=code).stderr == ""


# --- studies with plug-ins


def small_study(path: Path, manipulation: str, detector: str, attack: str) -> Path:
    """A study of a plug-in's three parts beside three of ours."""
    settings = {
        "name": "small",
        "photos": {"simulated": {"devices": 3, "photos": 2, "width": 200, "height": 160}},
        "split": {"test": 1},
        "patches": {"per_photo": 4},
        "manipulations": [manipulation, "median:3"],
        "detectors": [detector, "spam-svm"],
        "attacks": [attack, {"attack": "fgsm", "targets": [detector]}],
    }
    return write_study(path, settings)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def last_run(out: Path) -> str:
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return str(record["run"])


def computed(out: Path, run: str) -> list[str]:
    """What a run computed: the labels of its tasks, in order."""
    notes = open_store(str(out / "store")).notes()
    return sorted(note["label"] for note in notes if note["outcome"] == "done" and note["run"] == run)


def replace(file: Path, old: str, new: str) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.count(old) == 1
    file.write_text(source.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that `new plugin` writes, and beside it the folder that it is installed into."""
    package = tmp_path_factory.mktemp("stranger") / "noise.tools"
    write_plug_in(package)
    install(package)
    return package


def install(package: Path) -> None:
    """Install `package`, or install it again, into a folder of its own."""
    site = package.parent / "site"
    shutil.rmtree(site, ignore_errors=True)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", site, package], check=True)


def test_the_tests_of_a_written_package_pass(written: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(written.parent / "site")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=written)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_a_changed_manipulation_is_computed_anew_and_nothing_else(written: Path) -> None:
    site, out = written.parent / "site", written.parent / "out"
    study = small_study(written.parent / "study.yaml", "sharpen:1", "tiny-cnn:steps=1", "random-noise")
    answer = ask(site, "run", study, "--out", out)
    assert answer.stderr.count("counterforensics: ") == 0
    assert "noise.tools 0.1.0" in (out / "report.html").read_text(encoding="utf-8")
    before, everything = rows_of(out), computed(out, last_run(out))
    replace(written / "src" / "noise_tools" / "sharpen.py", "sigmaX=1.0", "sigmaX=3.0")
    install(written)
    ask(site, "run", study, "--out", out, code=WITHOUT_REPORT)
    assert computed(out, last_run(out)) == [label for label in everything if "sharpen:1" in label]
    after = rows_of(out)
    for changes in (False, True):
        one, two = (
            [row for row in rows if (row["manipulation"] == "sharpen:1") is changes] for rows in (before, after)
        )
        assert len(one) == len(two) == 6
        assert (one != two) is changes
    ask(site, "run", study, "--out", out, code=WITHOUT_REPORT)
    assert computed(out, last_run(out)) == []
    assert rows_of(out) == after


def test_three_parts_of_one_module_run_beside_a_broken_plug_in(beside: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(beside, tmp_path / "site"))
    study = small_study(tmp_path / "study.yaml", "darken:16", "coarseness", "dither")
    out = tmp_path / "out"
    lines = said_of(*THREE)
    answer = ask(site, "run", study, "--out", out, code=WITHOUT_REPORT)
    assert [line for line in answer.stderr.splitlines(keepends=True) if line.startswith("counterforensics: ")] == [
        lines
    ]
    assert len(rows_of(out)) == 12
    everything = computed(out, last_run(out))
    replace(site / "one_module.py", "self.levels * self.levels", "self.levels * self.levels + 1")
    ask(site, "run", study, "--out", out, code=WITHOUT_REPORT)
    # All three parts stand in the module that changed; what owes nothing to it is kept.
    kept = set(everything) - set(computed(out, last_run(out)))
    assert {label.split()[0] for label in kept} == {"simulate", "crop", "train", "judge", "measure"}
    assert not any(name in label for label in kept for name in ("darken", "coarseness", "dither"))
    assert "train spam-svm on median:3" in kept


# --- attacks that break their contract


class NoisyAttack(Attack):
    """What the wrong attacks share."""

    needs_target = False

    def conceal(self, patches: Tensor) -> Tensor:
        raise NotImplementedError

    def prepare(self, target: Detector | None, pairs: Pairs, *, seed: int) -> PreparedAttack:
        return PreparedAttack(lambda patches, originals: Concealed(self.conceal(patches)))


@dataclass(frozen=True)
class WrongAttack(NoisyAttack):
    """An attack that is wrong in the way that `how` says."""

    how: str

    def conceal(self, patches: Tensor) -> Tensor:
        if self.how == "float":
            return patches.float()
        if self.how == "own patches":
            return patches.bitwise_xor_(torch.ones_like(patches))
        if self.how == "the others":
            return patches ^ (len(patches) % 2)
        return patches ^ torch.randint_like(patches, 2)


WRONG_ATTACKS = {
    "float": "it must give uint8 patches of the same shape, gives torch.float32 (6, 1, 64, 64) for uint8",
    "own patches": "it changes the patches that it is given",
    "the others": "a patch's result depends on the batch that it is in",
    "at random": "the same patches and seed give another result",
}


@pytest.mark.parametrize("how", WRONG_ATTACKS)
def test_an_attack_that_breaks_its_contract_is_told_how(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Registry("attack", Attack, {"wrong": WrongAttack})  # type: ignore[type-abstract]
    monkeypatch.setattr("counterforensics.testing.attacks.ATTACKS", known)
    with pytest.raises(AssertionError) as raised:
        check_attack(f"wrong:{how}")
    assert str(raised.value).startswith(f"wrong:{how}: {WRONG_ATTACKS[how]}")


# --- `new`


def test_a_written_package_bears_the_name_of_its_folder(command: Command, tmp_path: Path) -> None:
    answer = command("new", "plugin", tmp_path / "deep" / "My-Noise.tools")
    assert (answer.status, answer.err) == (0, "")
    assert "pip install --editable" in answer.out
    assert "src/my_noise_tools" in answer.out
    package = tmp_path / "deep" / "My-Noise.tools"
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    sources = {f"src/my_noise_tools/{name}.py" for name in ("__init__", "sharpen", "tiny_cnn", "random_noise")}
    assert files == {"pyproject.toml", "README.md", "tests/test_contracts.py", *sources}
    assert 'name = "My-Noise.tools"' in (package / "pyproject.toml").read_text(encoding="utf-8")
    for name in files:
        text = (package / name).read_text(encoding="utf-8")
        assert "my_plugin" not in text
        assert "my-plugin" not in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a b", "'a b' holds more than letters, digits, dots, dashes and underscores; name the folder like"),
        ("1st", "'1st' holds more than letters"),
        ("class", "Python uses 'class' itself"),
        ("json", "there is a module 'json' already"),
        ("torch", "there is a module 'torch' already"),
        ("counterforensics", "there is a module 'counterforensics' already"),
        ("full", "exists already; give a new or an empty folder"),
        ("file", "exists already; give a new or an empty folder"),
        ("file/below", "cannot write the package"),
    ],
)
def test_a_package_that_cannot_be_written_is_refused(
    refused: Callable[..., str], tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert said in refused("new", "plugin", tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.yaml", "mine.yaml exists already; give another file"),
        ("mine.txt", "a study is a file NAME.yaml, got "),
        ("mine", "a study is a file NAME.yaml, got "),
        ("a b.yaml", "a study's name holds letters, digits, dots, dashes and underscores, got 'a b'"),
        ("mine.yaml/below.yaml", "cannot write the study "),
    ],
)
def test_a_study_that_cannot_be_written_is_refused(
    refused: Callable[..., str], tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    assert said in refused("new", "study", tmp_path / name)
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_a_written_study_runs_as_it_is(command: Command, tmp_path: Path, no_report: None) -> None:
    path = tmp_path / "first.yaml"
    answer = command("new", "study", path)
    assert (answer.status, answer.err) == (0, "")
    assert f"counterforensics run {path}" in answer.out
    assert f"#   counterforensics run {path}\n" in path.read_text(encoding="utf-8")
    assert load_study(str(path)).name == "first"
    assert command("run", path, "--out", tmp_path / "out").status == 0
    labels = {row["label"] for row in rows_of(tmp_path / "out")}
    assert labels == {"spam-svm", "Not fine-tuned"}


def test_a_written_study_shows_every_key(tmp_path: Path) -> None:
    write_new_study(tmp_path / "first.yaml")
    shown = yaml.safe_load((tmp_path / "first.yaml").read_text(encoding="utf-8"))
    labelled = [one for one in shown["detectors"] if isinstance(one, dict)]
    places: list[tuple[object, type[BaseModel]]] = [
        (shown, Study),
        (shown["photos"], PhotoSettings),
        (shown["photos"]["simulated"], SimulatedSettings),
        (shown["split"], SplitSettings),
        (shown["patches"], PatchSettings),
        (labelled[0], DetectorSettings),
        ({key: 0 for one in shown["attacks"] for key in one}, AttackSettings),
    ]
    for place, model in places:
        assert isinstance(place, dict)
        assert place.keys() == model.model_fields.keys()
    assert any(isinstance(one, str) for one in shown["detectors"])
