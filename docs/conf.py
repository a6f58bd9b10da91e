"""The documentation site. Sphinx reads the whole repository, so the links that GitHub follows work here, too."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

project = "counterforensics"
author = copyright = "the authors of counterforensics"
release = version = version_of("counterforensics")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
root_doc = "docs/index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "results/**/*.md"]
exclude_patterns = ["docs/templates"]
templates_path = ["templates"]

html_theme = "furo"
html_title = f"counterforensics {version}"
html_copy_source = False

myst_heading_anchors = 4
# A table of results is a page that begins with a smaller heading. Other pages link to it, no menu does.
suppress_warnings = ["myst.header", "toc.not_included"]

default_role = "literal"  # a word in single backticks is code, as in Markdown
autodoc_member_order = "bysource"


def _text_of_folder_links(app: Any, page: str, content: list[str]) -> None:
    """Leave only the text of a link to a folder of the repository: GitHub lists a folder, a site cannot."""
    here = Path(app.env.doc2path(page)).parent

    def without(link: re.Match[str]) -> str:
        return link[1] if (here / link[2]).is_dir() else link[0]

    content[0] = re.sub(r"\[([^\]]+)\]\(([^)#:\s]+)\)", without, content[0])


def _one_paragraph_an_argument(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Begin a paragraph at each line of a docstring that explains an argument, or begins with Returns or Raises."""
    apart: list[str] = []
    for line in lines:
        begins = re.match(r"(\w+(, \w+)*: |Returns |Raises )", line) is not None
        if begins and apart and apart[-1] and not apart[-1].startswith((">>>", "...", " ")):
            apart.append("")
        apart.append(line)
    lines[:] = apart


def setup(app: Any) -> None:
    """Sphinx calls this once."""
    app.connect("autodoc-process-docstring", _one_paragraph_an_argument)
    app.connect("source-read", _text_of_folder_links)
