"""The runner that puts every agent on the same episodes, and its suites and tables."""

# A bare "import benchmarks" from the repository root would load a second copy of every class.
if __name__ != "memgym.benchmarks":
    raise ImportError("import memgym.benchmarks (this folder is installed under that name)")
