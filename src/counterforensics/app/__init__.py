"""A page on this computer: drop a photograph, see which traces it shows and where, hide them, compare.

Needs the extra `app`.
"""

from __future__ import annotations

from counterforensics.app.server import serve

__all__ = ["serve"]
