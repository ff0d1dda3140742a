"""Where published parquet files are: in the data folder, at a path, or on the Hugging Face hub.

This is the only file that uses the ``datasets`` library: it resolves a dataset name to its files
and downloads those of one split into its cache. Local files never need it. Reading, on either way,
is done by pyarrow (:mod:`memgym.tasks.parquet_file`), which takes single rows and columns out of a
file; the library would convert a whole split to its own format first.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.tasks.files import find_files

__all__ = ["hub_files", "published_files"]

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def published_files(
    source: str, repository: str, splits: Iterable[str], data: Path | None, path: str
) -> list[Path]:
    """Return the parquet files of some splits of a published dataset.

    They are looked for at ``path``, or else in ``<data>/<source>``, or else downloaded.

    Args:
        source: Registry name, which is also the name of the folder.
        repository: Hub name of the dataset, ``owner/name``.
        splits: Published split names; a file belongs to the split that its name starts with.
        data: The data folder, if any.
        path: A file, a folder, or the hub name of a copy; empty for the usual places.

    Raises:
        UsageError: there is nothing at a place that was named, no file of the splits, or the hub
            cannot be reached.
    """
    wanted = list(splits)
    folder = data / source if data is not None else None
    if path:
        local = Path(path).expanduser().absolute()
        if local.exists():
            return _local_files(local, source, repository, wanted)
        if not _HUB_NAME.fullmatch(path):
            raise UsageError(
                f'source "{source}": nothing at {local}; name a parquet file, a folder of them, or '
                f"a hub dataset such as {repository}"
            )
        repository = path
    elif folder is not None and folder.exists():
        return _local_files(folder, source, repository, wanted)
    place = folder or Path("<data folder>") / source
    try:
        return hub_files(repository, wanted)
    except UsageError as error:
        raise UsageError(
            f'source "{source}": {error}; without a network, download the parquet files of '
            f"https://huggingface.co/datasets/{repository} elsewhere and put them in {place} (data "
            "folder: MEMGYM_DATA), or name them with the option path"
        ) from error


def _local_files(path: Path, source: str, repository: str, splits: list[str]) -> list[Path]:
    """Return the files of the splits; a single file stands for itself, whatever its name."""
    if path.is_file():
        return [path]
    # A clone of the repository keeps its files in data/.
    places = [path, *(inner for inner in [path / "data"] if inner.is_dir())]
    found = [
        file
        for place in places
        for split in splits
        for file in find_files(place, split.lower(), ".parquet")
    ]
    if not found:
        names = ", ".join(f"{split}*.parquet" for split in splits)
        raise UsageError(
            f'source "{source}": no file {names} in {path}; put there the files of '
            f"https://huggingface.co/datasets/{repository}"
        )
    return found


def hub_files(repository: str, splits: Iterable[str]) -> list[Path]:
    """Return the files of some splits of a hub dataset, downloaded to its cache.

    Args:
        repository: ``owner/name``, or a folder laid out like a hub dataset.
        splits: Split names of the dataset.

    Raises:
        UsageError: ``datasets`` is not installed, the dataset cannot be reached, or it has no such
            split.
    """
    datasets = _datasets()
    try:
        builder = datasets.load_dataset_builder(repository)
        files = {str(name): list(urls) for name, urls in builder.config.data_files.items()}
        urls = [url for split in splits for url in _of_split(files, split, repository)]
        # One by one, so that a download that was stopped goes on where it was.
        found = datasets.DownloadManager(dataset_name=repository).download(urls)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        if isinstance(error, UsageError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot get the hub dataset {repository}: {reason}") from error
    return [Path(file) for file in found]


def _of_split(files: dict[str, list[str]], split: str, repository: str) -> list[str]:
    if split not in files:
        raise UsageError(
            f'the dataset {repository} has no split "{split}": {nearest(split, list(files))}'
        )
    return files[split]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            'a hub download needs the datasets library: pip install "memgym[datasets]"'
        ) from error
    return datasets
