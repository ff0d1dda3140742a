"""Looking at a recorded episode: as one HTML page, or frame by frame in the terminal.

Both show an :class:`~memgym.viewer.model.EpisodeView`, which a replay of the trace gives. Not
here: how an episode is replayed (:mod:`memgym.traces`), and the commands (:mod:`memgym.cli`).
"""

from memgym.viewer.model import EpisodeView, view_of
from memgym.viewer.page import page_of, write_page

__all__ = ["EpisodeView", "page_of", "view_of", "write_page"]
