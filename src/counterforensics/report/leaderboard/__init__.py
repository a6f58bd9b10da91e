"""A leaderboard of detectors and attacks, made from the folders of finished runs.

write_leaderboard([Path("runs/leaderboard")], Path("board"))  # board/index.html, board/leaderboard.csv
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from counterforensics import __version__
from counterforensics.errors import StudyError
from counterforensics.files import at_home, write_whole
from counterforensics.report.leaderboard.page import leaderboard_csv, leaderboard_page
from counterforensics.report.leaderboard.runs import read_runs
from counterforensics.report.leaderboard.standings import Leaderboard, Slice, Standing

__all__ = ["INDEX", "Leaderboard", "Slice", "Standing", "write_leaderboard"]

INDEX, LEADERBOARD = "index.html", "leaderboard.csv"


def write_leaderboard(folders: Sequence[Path], out: Path) -> Leaderboard:
    """Write OUT/index.html and OUT/leaderboard.csv from finished runs; earlier ones are replaced.

    Raises StudyError if a folder is no finished run, if the runs cannot be compared, or if `out` cannot be written.
    """
    board, out = Leaderboard(read_runs([at_home(folder) for folder in folders])), at_home(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / LEADERBOARD, leaderboard_csv(board))
        write_whole(out / INDEX, leaderboard_page(board, out, __version__).encode())
    except OSError as error:
        raise StudyError(f"cannot write the leaderboard to {out} ({error.strerror}); give another --out") from error
    return board
