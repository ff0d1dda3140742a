"""The code in the documentation runs, in the order of each page."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from memgym.errors import UsageError
from memgym.tasks import get_source, register_source, registry, source_names

DOCS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages register sources without leaving them to other tests."""
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))


def test_adding_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "adding_a_source.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(page)
    assert len(blocks) == 5
    # A module of its own, as dataclasses look their module up.
    namespace = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "adding_a_source.md", "exec"), namespace)
    assert registry.get_source("kitchen").summary == "what cooks put into their soups"
    assert len(list(Path("data/kitchen").iterdir())) == 1


def test_a_name_is_registered_once() -> None:
    mine = replace(get_source("squad"), name="mine")
    register_source(mine)
    assert get_source("mine") is mine
    assert "mine" in source_names()
    with pytest.raises(UsageError, match='there is a source "mine" already'):
        register_source(mine)
    with pytest.raises(UsageError, match="needs a name and at least one split"):
        register_source(replace(mine, name="other", splits=()))


def test_every_source_is_on_the_sources_page() -> None:
    page = (DOCS / "sources.md").read_text(encoding="utf-8")
    for name in registry.source_names():
        assert f"| `{name}` |" in page, f"regenerate docs/sources.md: {name} is missing"


def test_the_readme_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(page)
    printed = []
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
        printed.append(capsys.readouterr().out.splitlines())
    first, own, trained = printed
    assert first[0].startswith("[")  # the header of the first chunk
    assert 0.0 < float(first[-1]) <= 1.0
    score, not_written = own[-1].split()
    assert float(score) < 1.0 < float(not_written)
    assert 0.0 < float(trained[-1]) < 1.0
