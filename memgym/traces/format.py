"""Files of traces: a gzip member per episode, each with one line of JSON.

So a file grows by appending, a kill costs at most the member that was being written, and ``zcat``
shows it all. Reading trusts nothing: sizes are bounded, every record is checked (:mod:`.schema`).
Not here: how a run keeps its file (:mod:`.file`).
"""

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError
from memgym.traces.members import MAX_RECORD_BYTES, members
from memgym.traces.schema import FORMAT, check_record

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "MAX_RECORD_BYTES",
    "MAX_TOTAL_BYTES",
    "decoded",
    "encoded",
    "find_trace",
    "read_traces",
    "write_traces",
]

FILE_NAME = "traces.jsonl.gz"
"""What the file is called in the folder of a run."""

MAX_TOTAL_BYTES = 64 * 2**30
"""Most that is read of one file by default, bytes of JSON."""


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record as a gzip member; the same record gives the same bytes."""
    # Escaped to ASCII: a lone surrogate in an action could not be written otherwise.
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    return gzip.compress(line.encode("ascii"), mtime=0)


def write_traces(path: Path | str, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of records, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as file:
            for record in records:
                file.write(encoded(record))
        partial.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write traces to {path}: {error.strerror or error}") from error


def read_traces(
    path: Path | str,
    *,
    max_record_bytes: int = MAX_RECORD_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> Iterator[dict[str, Any]]:
    """Yield the records of a file, one at a time, each checked against the schema.

    Args:
        path: The file, or the folder of a run.
        max_record_bytes: Largest record, bytes of JSON; nothing larger is unpacked.
        max_total_bytes: Most that is unpacked of the whole file, bytes of JSON.

    Raises:
        UsageError: the file cannot be read, is no file of traces, or is over a limit.
    """
    file = _file_of(path)
    left = max_total_bytes
    try:
        for number, member in enumerate(members(file, max_record_bytes), 1):
            where = f"{file.name}, record {number}"
            left -= len(member.content)
            if left < 0:
                raise UsageError(f"{where}: the file holds more than {max_total_bytes:,} bytes")
            yield decoded(member.content, where)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error


def find_trace(
    path: Path | str, episode_id: str | None = None, agent: str | None = None
) -> dict[str, Any]:
    """Return the first record of an episode and an agent; of any, where none is named.

    Raises:
        UsageError: there is none, or see :func:`read_traces`.
    """
    seen: dict[str, None] = {}
    for record in read_traces(path):
        found = record["episode"]["id"], record["agent"]["name"]
        if episode_id in (None, found[0]) and agent in (None, found[1]):
            return record
        seen[f'"{found[0]}" by {found[1]}'] = None
    wanted = " by ".join(
        text for text in (f'episode "{episode_id}"' if episode_id else "", agent or "") if text
    )
    some = ", ".join(list(seen)[:4]) + (", …" if len(seen) > 4 else "")
    raise UsageError(
        f"{path} holds no trace of {wanted}; it holds {some}" if seen else f"{path} holds no traces"
    )


def _file_of(path: Path | str) -> Path:
    given = Path(path)
    file = given / FILE_NAME if given.is_dir() else given
    if not file.is_file():
        if (given / "run.json").is_file():
            raise UsageError(
                f"the run in {given} was played with --no-traces; give its memgym bench command "
                "again without that, and it is played once more"
            )
        raise UsageError(f"no file of traces {file}; memgym bench writes one into its run folder")
    return file


def decoded(line: bytes, where: str) -> dict[str, Any]:
    """Return the record of a member's content.

    Args:
        line: The member, unpacked.
        where: Names the place in messages.

    Raises:
        UsageError: it is not one line of JSON in UTF-8, holds a number that is not finite or a
            name twice in one object, or does not fit the schema.
    """
    if not line.endswith(b"\n") or line.count(b"\n") != 1:
        raise UsageError(f"{where}: a record must be one line")
    try:
        record = json.loads(
            line.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_doubles,
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError among them
        raise UsageError(f"{where}: not JSON in UTF-8 ({error})") from error
    except RecursionError as error:
        raise UsageError(f"{where}: nested too deeply") from error
    check_record(record, where)
    return dict(record)


def _refuse_constant(name: str) -> float:
    raise UsageError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UsageError(f"the number {text[:40]} is not finite")
    return number


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)  # in one pass: there may be very many
        double = next(name for name, count in counts.items() if count > 1)
        raise UsageError(f"the field {ascii(double)[:60]} occurs twice in one object")
    return made
