"""Files of strangers are refused with a reason, and nothing comes of them but that."""

from pathlib import Path

import pytest

from memgym.submissions.checking import check_submission
from memgym.submissions.refusal import RefusedError
from tests.hostile_submissions import HOSTILE
from tests.submissions import SUITES, honest


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_a_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reason = HOSTILE[name]
    file, work = tmp_path / "submission.zip", tmp_path / "work"
    file.write_bytes(make(honest()))
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(RefusedError, match=reason) as refused:
        check_submission(file, work, suites=SUITES)
    assert set(everything_in(tmp_path)) <= {"submission.zip", "work", "work/traces.jsonl.gz"}
    for told in refused.value.reasons:
        assert told.isprintable()


def test_there_are_many_of_them_and_the_honest_one_is_taken(tmp_path: Path) -> None:
    assert len(HOSTILE) > 150
    file = tmp_path / "submission.zip"
    file.write_bytes(honest().archive())
    assert check_submission(file, tmp_path, suites=SUITES).questions == 6
