"""The code of docs/sb3.md runs, and its commands are ones that there are."""

import re
from pathlib import Path

import pytest

from memgym.baselines.sb3 import ALGORITHMS

PAGE = (Path(__file__).parent.parent / "docs" / "sb3.md").read_text(encoding="utf-8")


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "sb3.md", "exec"), {"__name__": "__main__"})
    score, steps, episodes = capsys.readouterr().out.splitlines()
    assert 0.0 <= float(score) <= 1.0
    assert (steps, episodes) == ("[0, 256, 512]", "2")


def test_the_table_lists_every_algorithm() -> None:
    named = re.findall(r"`([a-z0-9_]+)`", PAGE.split("## The folder")[0])
    assert set(ALGORITHMS) <= set(named)
