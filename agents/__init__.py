"""Agents with a language model in them, one small class each, found by name."""

# A bare "import agents" from the repository root would load a second copy of every class.
if __name__ != "memgym.agents":
    raise ImportError("import memgym.agents (this folder is installed under that name)")


def __getattr__(name: str) -> object:
    if name != "AGENTS":
        raise AttributeError(name)
    import importlib

    found = {}
    for module, cls in (("prompt_only","PromptOnly"),("long_context","LongContext"),("rag","RAG"),("mem1","Mem1"),("memagent","MemAgent"),("memagent","MemAgentPerQuestion"),("memgpt","MemGPT"),("mirix","MIRIX"),("closed_book","ClosedBook")):
        try:
            c = getattr(importlib.import_module(f"memgym.agents.{module}"), cls)
        except (ImportError, AttributeError):
            continue
        found[c.name] = c
    return found
