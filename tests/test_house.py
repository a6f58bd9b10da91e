"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "counterforensics"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_BODY = 40


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_function_fits_on_a_screen(file: Path) -> None:
    assert {one.name: body_lines(one) for one in functions(file) if body_lines(one) > LONGEST_BODY} == {}


# Where an attribute is looked up by name, and of what: never of a manipulation, a recipe or an attack, whose base
# classes answer. Only `names.py` looks at what a stranger registered.
LOOKED_UP = {
    "detectors/training.py": "the name of a loss function",
    "features/spam.py": "the dtype of whatever was given",
    "learning/accelerator.py": "torch's private names for what a processor can",
    "photos/folder.py": "how a picture of Pillow lies",
    "photos/remarks.py": "how many pictures a file of Pillow holds",
    "report/manifest.py": "fields of an outcome",
    "report/tables/detection.py": "figures of a claim",
    "study/collect.py": "columns of a plan's records",
    "study/evaluate.py": "figures of a measurement",
    "study/prepare.py": "what the operating system has",
    "study/schedulers/memory.py": "functions of the C library",
    "study/store/remote.py": "what the operating system has",
}


def looks_up(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr")


def test_parts_are_asked_by_contract_and_not_by_attribute_lookup() -> None:
    found = {
        str(file.relative_to(SOURCE))
        for file in FILES
        if any(map(looks_up, ast.walk(ast.parse(file.read_text(encoding="utf-8")))))
    }
    assert found - LOOKED_UP.keys() == {"names.py"}
    assert LOOKED_UP.keys() <= found


def test_a_class_name_means_one_thing() -> None:
    names: Counter[str] = Counter()
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names.update(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert {name for name, count in names.items() if count > 1} == set()


UNPICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def unpickles(node: ast.AST) -> bool:
    """Whether a part of the source could unpickle a file: imports a module that does, or calls `torch.load`."""
    match node:
        case ast.Import(names=names):
            return any(name.name.partition(".")[0] in UNPICKLING for name in names)
        case ast.ImportFrom(module=str(module)):
            return module.partition(".")[0] in UNPICKLING
        case ast.Attribute(value=ast.Name(id="torch"), attr="load") | ast.Attribute(attr="read_pickle"):
            return True
        case ast.keyword(arg="allow_pickle", value=ast.Constant(value=allowed)):
            return allowed is not False
    return False


def test_nothing_is_unpickled() -> None:  # NumPy's own default refuses pickles
    assert [file for file in FILES if any(map(unpickles, ast.walk(ast.parse(file.read_text(encoding="utf-8")))))] == []
