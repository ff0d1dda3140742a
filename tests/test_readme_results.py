"""The README's way from a run to a leaderboard, command by command as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[list[str]]:
    """Return the arguments of each ``memgym`` command of the section."""
    section = README.read_text(encoding="utf-8").split("## Results that can be checked")[1]
    (block,) = re.findall(r"```bash\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


def test_the_way_from_a_run_to_a_leaderboard_works_as_written(tmp_path: Path) -> None:
    said = {}
    for arguments in commands():
        done = subprocess.run(
            [sys.executable, "-m", "memgym", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        said[arguments[0]] = done.stdout + done.stderr
    assert list(said) == [
        "bench", "replay", "view", "compare", "plot", "submit", "verify", "leaderboard",
    ]  # fmt: skip
    assert "Content-Security-Policy" in (tmp_path / "episode.html").read_text(encoding="utf-8")
    assert {path.suffix for path in (tmp_path / "pictures").iterdir()} == {".png", ".svg"}
    assert "Every sentence" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
