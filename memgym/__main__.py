"""``python -m memgym``: the same as the ``memgym`` command."""

import sys

from memgym.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
