"""Files that are no raw data: archives, files too large to be read whole."""

import zipfile
from pathlib import Path

import pytest

from memgym.errors import UsageError
from memgym.tasks import load_source
from memgym.tasks.files import is_archive, read_json


def test_an_archive_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "squad", "w") as archive:
        archive.writestr("train-v1.1.json", "{}")
    with pytest.raises(UsageError, match="is an archive; unpack it"):
        load_source("squad", "train", data=tmp_path)


@pytest.mark.parametrize(
    ("name", "start", "archive"),
    [
        ("a.zip", b"PK\x03\x04rest", True),
        ("a.tgz", b"\x1f\x8b\x08", True),
        ("a.tar", b"train.json\x00", True),
        ("a.json", b'{"data": []}', False),
        ("empty.json", b"", False),
    ],
)
def test_archives_are_told_by_their_first_bytes(
    tmp_path: Path, name: str, start: bytes, archive: bool
) -> None:
    (tmp_path / name).write_bytes(start)
    assert is_archive(tmp_path / name) is archive


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)  # sparse: takes no room on disk
    with pytest.raises(UsageError, match=r"2,000,000,000 bytes.* split it"):
        read_json(path)
