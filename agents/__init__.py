"""Agents with a language model in them, one small class each, found by name."""

# A bare "import agents" from the repository root would load a second copy of every class.
if __name__ != "memgym.agents":
    raise ImportError("import memgym.agents (this folder is installed under that name)")

from memgym.agents.closed_book import ClosedBook
from memgym.agents.llm_agent import LLMAgent
from memgym.agents.long_context import LongContext
from memgym.agents.mem1 import Mem1
from memgym.agents.memagent import MemAgent, MemAgentPerQuestion
from memgym.agents.memgpt import MemGPT
from memgym.agents.mirix import MIRIX
from memgym.agents.prompt_only import PromptOnly
from memgym.agents.rag import RAG

__all__ = ["AGENTS"]

AGENTS: dict[str, type[LLMAgent]] = {
    agent.name: agent
    for agent in (
        ClosedBook, LongContext, RAG, MemAgent, MemAgentPerQuestion, Mem1, MemGPT, MIRIX,
        PromptOnly,
    )
}  # fmt: skip
"""Every agent with a language model by name."""
