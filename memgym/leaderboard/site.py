"""The folder of the site: its pages, the submitted files, and views of a few episodes of each.

::

    index.html
    submissions/<slug>.html      one page for each submission
    episodes/<slug>/<n>.html     some episodes, step by step (:mod:`memgym.viewer`)
    files/<slug>.zip             the submission itself, for everyone to verify again
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from memgym.atomic import write_folder, write_whole
from memgym.errors import UsageError
from memgym.leaderboard.pages import FOLDER, Links, index_page, page_name, submission_page
from memgym.leaderboard.standings import Row, contests
from memgym.leaderboard.verification import SUFFIX, Checked
from memgym.submissions import Verified
from memgym.submissions.archive import TRACES, Archive
from memgym.traces.format import find_trace
from memgym.viewer import view_of, write_page

__all__ = ["EPISODES", "check_replaceable", "write_site"]

EPISODES = 4
"""How many episodes of each submission have a view, unless told otherwise."""

_INDEX = "index.html"
_OURS = (_INDEX, FOLDER, "episodes", "files")
_MADE_BY = '<meta name="generator" content="memgym leaderboard">'


def write_site(
    out: Path,
    submissions: Sequence[Checked],
    *,
    episodes: int = EPISODES,
    data: Path | None = None,
    told: Callable[[int, int], None] | None = None,
) -> None:
    """Write the site, whole or not at all; the same submissions give the same files.

    Args:
        out: The folder; replaced if it holds a site already.
        submissions: As they were checked; those that do not hold are left out.
        episodes: Views of episodes per submission, spread over the abilities.
        data: Folder with one subfolder per real source.
        told: Called after each submission with their number so far and in all.

    Raises:
        UsageError: the folder holds something else.
        OSError: it cannot be written.
    """
    check_replaceable(out)
    files = {item.verified.sha256: item.file for item in submissions if item.verified}
    groups = contests(item.verified for item in submissions if item.verified)

    def write(folder: Path) -> None:
        write_whole(folder / _INDEX, index_page(groups))
        (folder / FOLDER).mkdir()
        done = 0
        for contest in groups:
            for row in contest.rows:
                links = _beside(folder, row, files[row.submission.sha256], episodes, data)
                write_whole(folder / page_name(row), submission_page(contest, row, links))
                done += 1
                if told:
                    told(done, len(files))

    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder(out, write)


def check_replaceable(out: Path) -> None:
    """Refuse a folder that is to be the site and holds, or stands beside, what is not of a site.

    Raises:
        UsageError: it does; the message names it.
    """
    if out.is_symlink():
        raise UsageError(f"{out} is a symbolic link; name the folder itself with --out")
    for beside in (out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.new")):
        if beside.exists() and (not beside.is_dir() or _foreign(beside)):
            raise UsageError(f"{beside} would be removed and is no site; move it, or change --out")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    index = out / _INDEX
    if not index.is_file() or _MADE_BY not in index.read_text("utf-8", "replace"):
        raise UsageError(f"{out} holds something else than a leaderboard; name another with --out")
    others = _foreign(out)
    if others:
        raise UsageError(
            f"{out} holds {others[0]}, which is not of the site and would be removed; build into a "
            "folder of its own with --out, and copy it from there"
        )


def _foreign(folder: Path) -> list[str]:
    """Return names in a folder that no site has; a killed build leaves a partial page."""
    ours = (*_OURS, f"{_INDEX}.partial")
    return sorted(item.name for item in folder.iterdir() if item.name not in ours)


def _beside(folder: Path, row: Row, file: Path, episodes: int, data: Path | None) -> Links:
    """Write what lies beside the page of a submission."""
    copy = folder / "files" / f"{row.slug}{SUFFIX}"
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(file, copy)
    views = folder / "episodes" / row.slug
    wanted = {
        number: found.id
        for number, found in enumerate(row.submission.episodes)
        if found.id in _chosen(row.submission, episodes)
    }
    found = _write_views(views, file, wanted, data) if wanted else {}
    return Links(
        f"../files/{copy.name}",
        {key: f"../episodes/{row.slug}/{name}" for key, name in found.items()},
    )


def _chosen(submission: Verified, most: int) -> list[str]:
    """Return ids of episodes: the first of each ability, then the second, and so on."""
    turns: dict[str, int] = {}
    order = []
    for place, episode in enumerate(submission.episodes):
        turn = turns[episode.ability] = turns.get(episode.ability, -1) + 1
        order.append((turn, place, episode.id))
    return [key for _, _, key in sorted(order)[:most]]


def _write_views(
    folder: Path, file: Path, wanted: Mapping[int, str], data: Path | None
) -> dict[str, str]:
    """Write views of episodes and return their file names by id."""
    folder.mkdir(parents=True)
    names = {}
    with tempfile.TemporaryDirectory() as work, Archive(file) as archive:
        traces = archive.extract(TRACES, Path(work))
        for number, key in wanted.items():
            names[key] = f"{number}.html"
            write_page(view_of(find_trace(traces, key), data=data), folder / names[key])
    return names
