"""Policies without a language model, one small class each, found by name."""

# A bare "import baselines" from the repository root would load a second copy of every class.
if __name__ != "memgym.baselines":
    raise ImportError("import memgym.baselines (this folder is installed under that name)")

from memgym.baselines.chunks import Chunks, Verbatim
from memgym.baselines.closed_book import ClosedBook
from memgym.baselines.flat import Flat
from memgym.baselines.oracle import Oracle
from memgym.baselines.random_writer import RandomWriter
from memgym.baselines.sentences import Dated, Sentences

__all__ = ["BASELINES"]

BASELINES = {
    agent.name: agent
    for agent in (
        ClosedBook, RandomWriter, Flat, Verbatim, Chunks, Sentences, Dated, Oracle,
    )
}  # fmt: skip
"""Every baseline by name, from the weakest to the upper bound."""
