"""The page of an episode: one HTML file that opens anywhere and asks for nothing.

What it looks like and how it moves is in the files beside this one: ``page.html``, ``page.css`` and
the scripts.
"""

from dataclasses import asdict
from pathlib import Path

from memgym.atomic import write_whole
from memgym.diagnosis import CAUSES
from memgym.rewards import REWARD_TERMS
from memgym.viewer.model import EpisodeView
from memgym.viewer.self_contained import packaged_text, self_contained_page

__all__ = ["page_of", "write_page"]

_SCRIPTS = (
    "elements.js", "history.js", "charts.js", "chunks.js", "memory.js", "questions.js", "page.js",
)  # fmt: skip

_TERMS = {
    "correctness": "r1: mean score of the questions, paid at the end",
    "format": "r2: share of the chunk's writing calls that succeeded",
    "compression": "r3: 1 - memory tokens / chunk tokens, paid at the end",
    "content": "r4: share of the chunk's written items that are valid",
}
_CAUSES = {
    "not_written": "Some of what the answer needs never entered the memory.",
    "lost": "It was written, but deleted, overwritten or cut off before the question came.",
    "not_retrieved": "The memory held it, but the reader was not shown all of it.",
    "misread": "The reader was shown it and still answered wrongly.",
}


def page_of(view: EpisodeView) -> str:
    """Return the page of an episode; the same view gives the same text."""
    data = {
        **asdict(view),
        "terms": {term: _TERMS[term] for term in REWARD_TERMS},
        "causes": {cause: _CAUSES[cause] for cause in CAUSES},
    }
    return self_contained_page(
        packaged_text(__package__, "page.html"),
        title=f"{view.id} · {view.agent}",
        style=packaged_text(__package__, "page.css"),
        script=packaged_text(__package__, *_SCRIPTS),
        data=data,
    )


def write_page(view: EpisodeView, out: Path) -> int:
    """Write the page of an episode, whole or not at all, and return its size in bytes.

    Raises:
        OSError: it cannot be written.
    """
    text = page_of(view)
    write_whole(out, text)
    return len(text.encode("utf-8"))
