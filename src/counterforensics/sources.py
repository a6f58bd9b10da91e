"""A digest of the code behind a plug-in, so that a result is never taken for that of changed code."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

_OURS = __name__.partition(".")[0]


def is_foreign(module: str) -> bool:
    """Whether `module` belongs neither to this package nor to the standard library."""
    top = module.partition(".")[0]
    return top != _OURS and top not in sys.stdlib_module_names


def source_digest(modules: Iterable[str]) -> str:
    """SHA-256 (hexadecimal) of the code of `modules`, which are imported already.

    It covers these modules, the modules that they import from their own package, the modules that those import, and so
    on. Other packages are left out, and so is an import whose name is only known when the program runs. A module
    without a file counts by its name.
    """
    digest = hashlib.sha256()
    for name in sorted(_with_imports(modules)):
        content = _content_of(_file_of(name))
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _with_imports(modules: Iterable[str]) -> set[str]:
    """`modules`, and every module of the same packages that they import, directly or not."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += _imports_of(module)
    return seen


def _imports_of(module: str) -> Iterator[str]:
    """The modules of its own package that the source of `module` imports."""
    file = _file_of(module)
    if file is None or file.suffix != ".py":
        return
    try:
        tree = ast.parse(_content_of(file))
    except (SyntaxError, ValueError):  # it was changed after it was imported; its content counts all the same
        return
    top = module.partition(".")[0]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        for name in _names_in(node, package):
            if name.partition(".")[0] == top and _file_of(name) is not None:
                yield name


def _names_in(node: ast.AST, package: str) -> Iterator[str]:
    """The names that an import statement in a module of `package` may load; some are no modules."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    elif isinstance(node, ast.ImportFrom):
        try:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        except ImportError:  # more dots than there are packages
            return
        yield base
        # A name that is imported from a package may be a module.
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _file_of(module: str) -> Path | None:
    """The file of a module, imported or not; None where there is none. Nothing is imported to find it."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        origin = vars(loaded).get("__file__")
        return Path(origin) if origin and Path(origin).is_file() else None
    parent, _, name = module.rpartition(".")
    for folder in _folders_of(parent):
        for stem in (folder / name / "__init__", folder / name):
            for suffix in all_suffixes():
                file = stem.with_name(stem.name + suffix)
                if file.is_file():
                    return file
    return None


def _folders_of(package: str) -> list[Path]:
    """The folders that hold the modules of `package`; none if it is no package."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        return [Path(folder) for folder in vars(loaded).get("__path__", ())]
    file = _file_of(package) if package else None
    return [file.parent] if file is not None and file.name.startswith("__init__.") else []


def _content_of(file: Path | None) -> bytes:
    """The bytes of a file; nothing if it cannot be read."""
    try:
        return b"" if file is None else file.read_bytes()
    except OSError:
        return b""
