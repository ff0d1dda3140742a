"""Policies without a language model, one small class each, found by name."""

# A bare "import baselines" from the repository root would load a second copy of every class.
if __name__ != "memgym.baselines":
    raise ImportError("import memgym.baselines (this folder is installed under that name)")
