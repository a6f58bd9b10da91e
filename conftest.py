"""Which modules are left out where an extra is not installed: doctests import every module."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("gradio") else ["src/counterforensics/app/page.py"]
