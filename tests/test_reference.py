"""The reference lists every public name, and the index of the documentation every page.

`make docs` builds the site itself, with warnings as errors.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]


def listed() -> dict[str, list[str]]:
    """The names of each module that the reference lists."""
    found: dict[str, list[str]] = {}
    module = ""
    for line in REFERENCE.splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split(":: ")[1]
        elif re.fullmatch(r"   \w+", line):
            found.setdefault(module, []).append(line.strip())
    return found


LISTED = listed()


def listed_values() -> list[object]:
    return [import_from(module, name) for module, names in LISTED.items() for name in names]


def import_from(module: str, name: str) -> object:
    """As `from module import name`."""
    space: dict[str, object] = {}
    exec(f"from {module} import {name}", space)
    return space[name]


def is_listed(one: object) -> bool:
    return any(one is other for other in listed_values())


@pytest.mark.parametrize("module", sorted(LISTED))
def test_every_listed_name_is_there_with_a_docstring(module: str) -> None:
    for name in LISTED[module]:
        assert (import_from(module, name).__doc__ or "").strip(), f"{module}.{name}"


@pytest.mark.parametrize("module", sorted(LISTED))
def test_every_exported_name_of_these_modules_is_listed_or_named(module: str) -> None:
    for name in vars(import_module(module)).get("__all__", []):
        found = import_from(module, name)
        is_code = callable(found) and not isinstance(found, dict)
        assert is_listed(found) or (not is_code and (name in REFERENCE or name == "__version__")), f"{module}.{name}"


def imports(code: str) -> Iterator[tuple[str, str]]:
    """The (module, name) pairs that code imports from this package."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("counterforensics"):
            yield from ((node.module, alias.name) for alias in node.names)


def test_every_name_that_a_page_or_an_example_imports_is_public() -> None:
    codes = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("examples/*.py")}
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        codes |= {f"{page.name} {number}": code for number, code in enumerate(blocks)}
    used = {pair for code in codes.values() for pair in imports(code)}
    assert len(used) > 20
    private = [
        f"{module}.{name}"
        for module, name in sorted(used)
        if not is_listed(import_from(module, name)) and name not in REFERENCE
    ]
    assert private == []


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        if page.name != "index.md":
            assert f"]({page.name})" in index, page.name
            assert f"\n{page.stem}\n" in index, page.name
    for page in ROOT.glob("results/*/README.md"):
        assert f"](../{page.relative_to(ROOT)})" in index, page
