"""The beginning of a package of plug-ins, and of a study: files to start from, written once and never over others."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from counterforensics.errors import PlugInError, StudyError
from counterforensics.files import at_home, exists
from counterforensics.names import NAME

# The names that stand in the templates. They are valid names, so the templates are valid files.
_PACKAGE, _MODULE, _STUDY = "my-plugin", "my_plugin", "my-study"
_PACKAGE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_COMPILED = "__pycache__"


def write_plug_in(path: Path) -> list[str]:
    """Write a package into the folder `path`, named after it; returns lines that say what to do next.

    Raises PlugInError for a name that no package can have, and for a folder that holds something or cannot be written.
    """
    path = at_home(path)
    package = path.resolve().name
    module = _module_of(package)
    names = {_PACKAGE: package, _MODULE: module}
    files = {_renamed(name, names): _renamed(text, names) for name, text in _templates("plugin").items()}
    try:
        is_empty = path.is_dir() and not any(path.iterdir())
        if not is_empty and exists(path):
            raise PlugInError(f"{path} exists already; give a new or an empty folder")
        _write(path, files)
    except OSError as error:
        raise PlugInError(f"cannot write the package {path} ({error.strerror}); give another folder") from error
    return [
        f"{path} holds the package {package}: a manipulation, a detector and an attack under src/{module}, and tests.",
        f"Install it:      pip install --editable '{path}[test]'",
        f"Run its tests:   pytest {path}",
        "See its parts:   counterforensics list",
    ]


def write_study(path: Path) -> list[str]:
    """Write a study into the file `path`, named after it; returns lines that say what to do next.

    Raises StudyError for a name that no study can have, and for a file that is there already or cannot be written.
    """
    path = at_home(path)
    if path.suffix not in (".yaml", ".yml"):
        raise StudyError(f"a study is a file NAME.yaml, got {path}")
    if not NAME.fullmatch(path.stem):
        raise StudyError(f"a study's name holds letters, digits, dots, dashes and underscores, got {path.stem!r}")
    text = (resources.files("counterforensics") / "templates" / "study.yaml").read_text(encoding="utf-8")
    try:
        _write(path.parent, {path.name: _renamed(text, {f"{_STUDY}.yaml": str(path), _STUDY: path.stem})})
    except OSError as error:
        if exists(path):
            raise StudyError(f"{path} exists already; give another file") from error
        raise StudyError(f"cannot write the study {path} ({error.strerror}); give another file") from error
    return [
        f"{path} holds a study of simulated cameras, which shows every key.",
        f"See what it costs:   counterforensics plan {path}",
        f"Run it:              counterforensics run {path}",
    ]


def _module_of(package: str) -> str:
    """The module of a package of that name.  Raises PlugInError, with the reason, if there can be none."""
    works = "name the folder like a package, for example my-plugin"
    if not _PACKAGE_NAME.fullmatch(package):
        raise PlugInError(f"{package!r} holds more than letters, digits, dots, dashes and underscores; {works}")
    module = re.sub(r"[.-]+", "_", package).lower()
    if keyword.iskeyword(module) or module in ("tests", "src"):
        raise PlugInError(f"{package!r} cannot be the name of a package: Python uses {module!r} itself; {works}")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise PlugInError(f"{package!r} cannot be the name of a package: there is a module {module!r} already; {works}")
    return module


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """`text` with the names of the templates replaced; of two that begin alike, `names` has the longer one first."""
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], text)


def _templates(folder: str) -> Mapping[str, str]:
    """The files below a folder of templates: path relative to it -> text."""
    root = resources.files("counterforensics") / "templates" / folder
    return {name: file.read_text(encoding="utf-8") for name, file in _files_below(root)}


def _files_below(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != _COMPILED:
            yield from _files_below(entry, f"{above}{entry.name}/")
        elif entry.is_file():
            yield f"{above}{entry.name}", entry


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write `files`, path -> text, below `folder`.  Raises OSError, and FileExistsError rather than write over one."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
