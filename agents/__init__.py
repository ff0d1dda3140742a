"""Agents with a language model in them."""

# A bare "import agents" from the repository root would load a second copy of every class.
if __name__ != "memgym.agents":
    raise ImportError("import memgym.agents (this folder is installed under that name)")
