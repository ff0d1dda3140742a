"""Lets pytest collect ``benchmarks/speed``, which is installed as ``memgym.benchmarks.speed``.

pytest imports a test file's parent packages by their folder names; these aliases make that the
packages that are loaded already, not second copies (which ``benchmarks/__init__.py`` refuses).
"""

import sys
from importlib import import_module

for _name in ("benchmarks", "benchmarks.speed"):
    sys.modules.setdefault(_name, import_module(f"memgym.{_name}"))
