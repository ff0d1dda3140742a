"""The folder of a run: what is in it, how it survives a kill, how a run is continued.

===================  ==========================================================================
file                 content
===================  ==========================================================================
``run.json``         what was asked for (:meth:`memgym.benchmarks.plan.RunPlan.description`)
``results.jsonl``    one line per agent and episode; the same bytes for the same ``run.json``
``traces.jsonl.gz``  what happened in each, to be replayed (:mod:`memgym.traces`)
``timings.csv``      wall seconds of each, which are never the same
``usage.csv``        what language models used in each, if there are any
``replies/``         their replies, from which a stopped episode is resumed
``lock``             nothing; held by the process that plays the run
===================  ==========================================================================

Results are appended and flushed one by one, so a kill loses at most the episodes in flight; a half
written last line is dropped when the run is continued, and so is a trace whose result was not
written any more. When all results are there, the files are rewritten in the plan's order, whole or
not at all.
"""

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from memgym.atomic import write_whole
from memgym.differences import difference
from memgym.errors import UsageError
from memgym.folder_lock import hold_lock
from memgym.traces.file import Key, TraceFile
from memgym.traces.format import FILE_NAME
from memgym.usage import Usage

__all__ = ["Key", "RunFolder", "csv_text", "playing_alone"]

_RUN, _RESULTS, _TIMINGS = "run.json", "results.jsonl", "timings.csv"
_TIMING_COLUMNS = ("agent", "episode_id", "seconds")
_LOCK = "lock"
_USAGE = "usage.csv"
_USAGE_COLUMNS = ("agent", "episode_id", "part", *(item.name for item in fields(Usage)))


class RunFolder:
    """The results of one run on disk.

    Args:
        path: Made if it does not exist.
        description: What identifies the run.
        keys: Every result that belongs to it, in final order.
        traced: Whether every result is to have a trace.

    Attributes:
        path: The folder.
        records: The results so far, by key.
        seconds: Wall seconds by key, as far as known.
        usage: What language models used by key, and by part of it: ``agent``, ``reader``, …

    Raises:
        UsageError: the folder holds another run or something else, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        description: Mapping[str, Any],
        keys: Sequence[Key],
        *,
        traced: bool = False,
    ) -> None:
        self.path = path
        self._keys = list(keys)
        self._traces: TraceFile | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._identify(description)
            self.records: dict[Key, dict[str, Any]] = self._read_results()
            self.seconds: dict[Key, float] = self._read_timings()
            self.usage: dict[Key, dict[str, Usage]] = self._read_usage()
            if traced:
                self._traces = TraceFile(path / FILE_NAME)
                found = self._traces.keys
                self._traces.keep([key for key in found if key in self.records])
        except OSError as error:
            raise _unwritable(path, error) from error

    @property
    def missing(self) -> list[Key]:
        """The results still to come, in order; one without the trace it is to have is to come."""
        return [
            key
            for key in self._keys
            if key not in self.records or (self._traces is not None and key not in self._traces)
        ]

    def _identify(self, description: Mapping[str, Any]) -> None:
        file = self.path / _RUN
        if not file.exists():
            others = _others(self.path)
            if others:
                raise UsageError(
                    f"{self.path} is not empty ({others[0]}, …) and holds no {_RUN}; "
                    "give a new or empty folder with --out"
                )
            text = json.dumps(description, ensure_ascii=False, indent=2, sort_keys=True)
            write_whole(file, text + "\n")
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{file} is not JSON ({error}); give another folder with --out") from (
                error
            )
        difference = _describe_difference(found, json.loads(json.dumps(description)))
        if difference:
            raise UsageError(
                f"{self.path} holds another run: {difference}; give another folder with --out"
            )

    def _read_results(self) -> dict[Key, dict[str, Any]]:
        file = self.path / _RESULTS
        if not file.exists():
            return {}
        known = set(self._keys)
        records: dict[Key, dict[str, Any]] = {}
        for number, line in enumerate(_whole_lines(file), 1):
            try:
                record = json.loads(line)
                key = (record["agent"], record["episode_id"])
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{file}, line {number}: not a result ({error!r}); delete that line to have it "
                    "played again"
                ) from error
            if key not in known:
                raise UsageError(f'{file}, line {number}: "{key[1]}" is not in this run')
            records[key] = record
        return records

    def _read_timings(self) -> dict[Key, float]:
        file = self.path / _TIMINGS
        if not file.exists():
            return {}
        known = set(self._keys)
        seconds = {}
        for row in csv.reader(line.decode() for line in _whole_lines(file)):
            if len(row) == len(_TIMING_COLUMNS) and (row[0], row[1]) in known:
                seconds[row[0], row[1]] = float(row[2])
        return seconds

    def _read_usage(self) -> dict[Key, dict[str, Usage]]:
        file = self.path / _USAGE
        known = set(self._keys)
        found: dict[Key, dict[str, Usage]] = {}
        for row in (
            csv.reader(line.decode() for line in _whole_lines(file)) if file.exists() else ()
        ):
            if len(row) == len(_USAGE_COLUMNS) and (row[0], row[1]) in known:
                counts = [float(text) if "." in text else int(text) for text in row[3:]]
                found.setdefault((row[0], row[1]), {})[row[2]] = Usage(*counts)  # type: ignore[arg-type]
        return found

    def append(
        self,
        record: Mapping[str, Any],
        seconds: float,
        usage: Mapping[str, Usage] | None = None,
        trace: bytes = b"",
    ) -> None:
        """Add one result and flush it; cost and trace go first, so that no result lacks them."""
        key = (str(record["agent"]), str(record["episode_id"]))
        try:
            self._append_rows(_TIMINGS, _TIMING_COLUMNS, [(*key, f"{seconds:.4f}")])
            if usage:
                self._append_rows(_USAGE, _USAGE_COLUMNS, _usage_rows(key, usage))
            if self._traces is not None:
                self._traces.append(key, trace)
            if self.records.get(key) != record:  # it may have lacked nothing but its trace
                _append(self.path / _RESULTS, _line(record))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.records[key] = dict(record)
        self.seconds[key] = seconds
        self.usage[key] = dict(usage or {})

    def _append_rows(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> None:
        file = self.path / name
        header = [] if file.exists() else [columns]
        _append(file, csv_text([*header, *rows]))

    def finish(self) -> list[dict[str, Any]]:
        """Rewrite the complete results, traces and timings in order, and return the results."""
        assert not self.missing, "finish() is called when every result is there"
        ordered = [self.records[key] for key in self._keys]
        times = [(*key, f"{self.seconds[key]:.4f}") for key in self._keys if key in self.seconds]
        try:
            if self._traces is not None:
                self._traces.keep(self._keys)
            write_whole(self.path / _RESULTS, "".join(_line(record) for record in ordered))
            write_whole(self.path / _TIMINGS, csv_text([_TIMING_COLUMNS, *times]))
            used = [row for key in self._keys for row in _usage_rows(key, self.usage.get(key, {}))]
            if used:
                write_whole(self.path / _USAGE, csv_text([_USAGE_COLUMNS, *used]))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return ordered


def _usage_rows(key: Key, usage: Mapping[str, Usage]) -> list[tuple[str, ...]]:
    rows = []
    for part, used in usage.items():
        counts = used.as_dict().values()
        rows.append((*key, part, *(f"{n:.3f}" if isinstance(n, float) else str(n) for n in counts)))
    return rows


@contextlib.contextmanager
def playing_alone(path: Path) -> Iterator[None]:
    """Keep other processes from playing the run in a folder: they would ask and pay twice.

    The lock ends with the process, however that ends. Where the system or the file system has no
    such locks, nothing is held.

    Raises:
        UsageError: another process plays it, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Nothing is to be left in a folder of somebody else's, which RunFolder will refuse.
            if (path / _RUN).exists() or not _others(path):
                hold_lock(stack.enter_context((path / _LOCK).open("ab")), path)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield


def _others(path: Path) -> list[str]:
    """Return what else is in a folder than a run that was killed at its very beginning leaves."""
    names = (item for item in path.iterdir() if item.suffix != ".partial")
    return sorted(item.name for item in names if item.name != _LOCK)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file after cutting off a half-written last one."""
    content = path.read_bytes()
    # Where the machine went down, zeros may stand for what had not reached the disk.
    zeros = content.find(b"\0")
    whole = content.rfind(b"\n", 0, zeros if zeros >= 0 else len(content)) + 1
    if whole < len(content):
        os.truncate(path, whole)
    return content[:whole].split(b"\n")[:-1]


def _line(record: Mapping[str, Any]) -> str:
    # Escaped to ASCII: a lone surrogate in a prediction could not be written otherwise.
    return json.dumps(record, sort_keys=True) + "\n"


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _describe_difference(found: Any, asked: dict[str, Any]) -> str:
    """Return how two descriptions differ in words, ``""`` if they do not.

    Digests come last: they say nothing to a reader, and what else differs explains them.
    """
    if not isinstance(found, dict) or found.keys() != asked.keys():
        return f"its {_RUN} has other fields"
    last = ("suites", "agents", "code")
    for key in sorted(asked, key=lambda key: (key in last, key)):
        if key == "code" and found[key] != asked[key]:
            return "memgym's own files were changed since"
        changed = difference(found[key], asked[key], key)
        if changed:
            return changed
    return ""


def _unwritable(path: Path, error: OSError) -> UsageError:
    reason = error.strerror or type(error).__name__
    return UsageError(f"cannot use the run folder {path}: {reason}; give another with --out")
