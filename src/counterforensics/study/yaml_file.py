"""The YAML file of a study, built-in or a user's: the plain data in it, and no more of it than a study can need."""

from __future__ import annotations

import re
from collections.abc import Hashable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from counterforensics.errors import LONGEST_GIVEN, NameNotFoundError, StudyError, printable, shown, unknown_name
from counterforensics.files import at_home, read_regular

BUILT_IN = ("demo", "leaderboard", "paper")
MOST_BYTES = 1_000_000
MOST_VALUES = 20_000  # keys and values of a file, those that aliases repeat among them
_MOST_DIGITS = 4000


class _Excess(yaml.YAMLError):
    """More than a study can need."""


class _Loader(yaml.SafeLoader):
    """Numbers, texts, yes/no, lists and settings.

    Of YAML 1.1's ways to write a number only the plain ones are known: 1_000, 017 and 1:30 are texts here, which no
    number may be. So are dates, and `yes` and `no`, which a device may be called. A key stands once.
    """

    def __init__(self, text: str, most: int) -> None:
        """most: keys and values."""
        super().__init__(text)
        self.values, self.most = 0, most

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read one key or value, and count it."""
        self.values += 1
        if self.values > self.most:
            raise _Excess(f"it holds more than {self.most:,} keys and values")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """The settings of a node.  Raises ConstructorError for a key that stands twice."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                where = key.start_mark
                raise yaml.constructor.ConstructorError(None, None, f"{shown(key.value)} stands twice", where)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: Any) -> int:
        """A whole number."""
        if len(node.value) > _MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a whole number of {len(node.value)} digits", node.start_mark
            )
        return int(node.value)


_FLOAT = r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("float", _FLOAT, "-+0123456789."),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(content: bytes, name: str, *, most: int = MOST_VALUES) -> Any:
    """The values in a YAML text in UTF-8.

    name: of the file, for messages, which repeat little of it.  Raises StudyError for what is no YAML or no text, for a
    key that stands twice, and for more than `most` keys and values once aliases are replaced by what they name.
    """
    try:
        loader = _Loader(content.decode("utf-8"), most)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_unfolded(node, most)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise StudyError(f"cannot read the study {name}: byte {error.start} is not UTF-8 text") from error
    except _Excess as error:
        raise StudyError(f"{name} is too large for a study: {error}") from error
    except RecursionError as error:
        raise StudyError(f"{name} is not YAML: its values are nested too deep") from error
    except (yaml.YAMLError, ValueError) as error:
        raise StudyError(f"{name} is not YAML: {_in_words(error)}") from error


def _check_unfolded(root: yaml.Node, most: int) -> None:
    """Raise _Excess if a file is too large once every alias is replaced by what it names."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        found = sizes.get(id(node))
        if found == 0:
            raise _Excess("an alias refers to a value that contains it")
        if found is None:
            sizes[id(node)] = 0
            inner = node.value if isinstance(node, yaml.CollectionNode) else []
            pieces = [piece for one in inner for piece in (one if isinstance(one, tuple) else (one,))]
            found = sizes[id(node)] = 1 + sum(map(size, pieces))
        return found

    if size(root) > most:
        raise _Excess(f"its aliases unfold to more than {most:,} keys and values")


def _in_words(error: Exception) -> str:
    """What is wrong and where, in one line; a piece of the file in it is cut."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return printable(" ".join(str(error).split())[: 3 * LONGEST_GIVEN])
    pieces = [" ".join(piece.split())[:LONGEST_GIVEN] for piece in (error.context, error.problem) if piece]
    mark = error.problem_mark or error.context_mark
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return printable(", ".join(pieces)) + place


def built_in_yaml(name: str) -> bytes:
    """The YAML file of a built-in study.  Raises NameNotFoundError for another name."""
    if name not in BUILT_IN:
        raise unknown_name("built-in study", name, BUILT_IN)
    return (resources.files("counterforensics.study") / "built_in" / f"{name}.yaml").read_bytes()


def read_settings(text: str) -> tuple[dict[str, Any], Path]:
    """The settings of a built-in study or of a YAML file, and the folder that its paths are relative to.

    Raises StudyError or NameNotFoundError.
    """
    if text in BUILT_IN:
        content, base = built_in_yaml(text), Path()
    else:
        path = at_home(text)
        if path.suffix not in (".yaml", ".yml"):
            raise NameNotFoundError(f"{unknown_name('study', text, BUILT_IN)}; or give a file, NAME.yaml")
        content, base = read_regular(path, MOST_BYTES, StudyError), path.parent
    settings = parse_yaml(content, text)
    if not isinstance(settings, dict):
        raise StudyError(f"{text} must hold settings (name:, photos:, ...), holds {type(settings).__name__}")
    return settings, base
