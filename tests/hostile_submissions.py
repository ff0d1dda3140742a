"""Files that are no honest submissions, each by its name, with the reason to refuse it.

The table is :data:`HOSTILE`; traces and records are in :mod:`.hostile_records`. What is changed is
put together again as somebody would who knows the format: hashes fit, unless they are wrong.
"""

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from memgym.submissions.archive import CARD, MANIFEST, TRACES, packed
from tests.hostile_records import FORGED, RECORDS, TRACE_FILES, Maker, Table
from tests.submissions import Parts

__all__ = ["HOSTILE", "Maker"]


# ---------------------------------------------------------------------- archives


def _zip(
    parts: Parts,
    names: Mapping[str, bytes] | None = None,
    *,
    kind: int = stat.S_IFREG,
    compression: int = zipfile.ZIP_STORED,
    leave_out: str = "",
    change: Callable[[zipfile.ZipInfo], None] = lambda info: None,
) -> bytes:
    """Return an archive of the parts that has further members or oddities."""
    content = io.BytesIO()
    members = {k: v for k, v in sorted(parts.members().items()) if k != leave_out}
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in [*members.items(), *(names or {}).items()]:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            if name == CARD:
                info.external_attr = (kind | 0o777) << 16
                change(info)
            archive.writestr(info, data, compression if name == MANIFEST else 0)
    return content.getvalue()


def _with(name: str) -> Maker:
    return lambda parts: _zip(parts, {name: b"hello"})


def _twice(parts: Parts) -> bytes:
    # Written under another name first: zipfile warns about equal ones.
    return _zip(parts, {"card.mX": b"hello"}).replace(b"card.mX", b"card.md")


def _encrypted(parts: Parts) -> bytes:
    content = bytearray(_zip(parts))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _many_members(parts: Parts) -> bytes:
    return _zip(parts, {f"{number}.txt": b"" for number in range(10_000)})


def _other_order(parts: Parts) -> bytes:
    members = parts.members()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in (MANIFEST, CARD, TRACES):
            archive.writestr(zipfile.ZipInfo(name), members[name])
    return content.getvalue()


def _locator(parts: Parts) -> bytes:
    content = _zip(parts)
    return content[:-22] + struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1) + content[-22:]


def _gap(parts: Parts) -> bytes:
    """Hide bytes between the members and their directory."""
    content = _zip(parts)
    start = content.index(b"PK\x01\x02")
    end = bytearray(content[-22:])
    end[16:20] = struct.pack("<I", start + 10)
    return content[:start] + b"0123456789" + content[start:-22] + bytes(end)


def _same_bytes(parts: Parts) -> bytes:
    """Let two members be the same bytes of the file."""
    content = bytearray(_zip(parts))
    directory = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", directory + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(content)


def _flipped_card(parts: Parts) -> bytes:
    content = bytearray(_zip(parts))
    content[content.index(parts.card)] ^= 1
    return bytes(content)


def _extra(info: zipfile.ZipInfo) -> None:
    info.extra = struct.pack("<HH4s", 0x7075, 4, b"abcd")


def _comment(info: zipfile.ZipInfo) -> None:
    info.comment = b"hello"


def _with_manifest(content: bytes) -> Maker:
    return lambda parts: packed({**parts.members(), MANIFEST: content})


def _with_card(content: bytes) -> Maker:
    def make(parts: Parts) -> bytes:
        parts.card = content
        return parts.archive()

    return make


ARCHIVES: Table = {
    "empty file": (lambda parts: b"", "no whole zip archive"),
    "no zip": (lambda parts: b"hello" * 100, "no whole zip archive"),
    "cut in half": (lambda parts: _zip(parts)[: len(_zip(parts)) // 2], "no whole zip archive"),
    "last byte cut off": (lambda parts: _zip(parts)[:-1], "no whole zip archive"),
    "bytes after the end": (lambda parts: _zip(parts) + b"hello", "no whole zip archive"),
    "bytes before the start": (lambda parts: b"#!/bin/sh\n" + _zip(parts), "something before"),
    "directory of garbage": (
        lambda parts: _zip(parts).replace(b"PK\x01\x02", b"PK\x01\x09"), "no whole zip archive",
    ),
    "path traversal": (_with("../../evil.py"), "'../../evil.py' is none of"),
    "absolute path": (_with("/etc/cron.d/evil"), "'/etc/cron.d/evil' is none of"),
    "drive letter": (_with("C:evil.exe"), "'C:evil.exe' is none of"),
    "backslashes": (_with("..\\evil.py"), "evil.py' is none of"),
    "folder as member": (_with("card.md/"), "'card.md/' is none of"),
    "unknown member": (_with("sitecustomize.py"), "'sitecustomize.py' is none of"),
    "nested archive": (_with("inner.zip"), "'inner.zip' is none of"),
    "control characters in a name": (_with("card\x1b[2J.md"), r"x1b\[2J.md' is none of"),
    "look-alike name": (_with("c\u0430rd.md"), r"'c\\u0430rd.md' is none of"),
    "over-long name": (_with("x" * 60_000), "lists 4 members"),
    "ten thousand members": (_many_members, "lists 10003 members"),
    "the same name twice": (_twice, "card.md occurs 2 times"),
    "no card": (lambda parts: _zip(parts, leave_out=CARD), "card.md occurs 0 times"),
    "no traces": (lambda parts: _zip(parts, leave_out=TRACES), "traces.jsonl.gz occurs 0 times"),
    "no manifest": (lambda parts: _zip(parts, leave_out=MANIFEST), "manifest.json occurs 0 times"),
    "symbolic link": (lambda parts: _zip(parts, kind=stat.S_IFLNK), "no plain file"),
    "device": (lambda parts: _zip(parts, kind=stat.S_IFCHR), "no plain file"),
    "encrypted": (_encrypted, "is encrypted"),
    "compressed": (
        lambda parts: _zip(parts, compression=zipfile.ZIP_DEFLATED), "manifest.json' is compr",
    ),
    "other order": (_other_order, "another order"),
    "kind for large files": (_locator, "zip64"),
    "hidden bytes": (_gap, "besides its members"),
    "members over one another": (_same_bytes, "no whole zip archive|damaged|something before"),
    "damaged member": (_flipped_card, "card.md is damaged"),
    "extra field": (lambda parts: _zip(parts, change=_extra), "extra fields"),
    "comment of a member": (lambda parts: _zip(parts, change=_comment), "comment"),
    "huge manifest": (_with_manifest(b" " * 300_000), "300,000 bytes, at most"),
    "huge card": (_with_card(b"a" * 70_000), "70,000 bytes, at most"),
    "long card": (_with_card(b"a" * 40_000), "40,000 characters, at most"),
    "card not UTF-8": (_with_card(b"# Card \xff"), r"card.md: not UTF-8 \(byte 7\)"),
    "escape codes in the card": (_with_card(b"# Card \x1b[31m"), r"control character '\\x1b'"),
    "turned line in the card": (_with_card("\u202e".encode()), r"'\\u202e', which turns"),
}  # fmt: skip


# ---------------------------------------------------------------------- manifests


def _claim(**fields: Any) -> Maker:
    """Return a maker of a manifest with other fields."""

    def make(parts: Parts) -> bytes:
        parts.manifest |= fields
        return parts.archive()

    return make


def _manifest(edit: Callable[[str], str | bytes]) -> Maker:
    """Return a maker that edits the text of a manifest."""

    def make(parts: Parts) -> bytes:
        members = parts.members()
        edited = edit(members[MANIFEST].decode())
        content = edited if isinstance(edited, bytes) else edited.encode()
        return packed({**members, MANIFEST: content})

    return make


def _replaced(old: str, new: str) -> Maker:
    def edit(text: str) -> str:
        assert old in text, f"there is no {old} in the manifest"
        return text.replace(old, new, 1)

    return _manifest(edit)


def _nested(field: str, **inner: Any) -> Maker:
    def make(parts: Parts) -> bytes:
        parts.manifest[field] = {**parts.manifest[field], **inner}
        return parts.archive()

    return make


def _total(**inner: Any) -> Maker:
    return _nested("totals", **inner)


def _higher_score(parts: Parts) -> bytes:
    parts.manifest["totals"]["macro"]["mean"] += 0.01
    return parts.archive()


MANIFESTS: Table = {
    "no JSON": (_with_manifest(b"{"), "manifest.json: not JSON"),
    "a list": (_with_manifest(b"[]"), "must be an object"),
    "not UTF-8": (_with_manifest(b'{"name": "\xff"}'), r"not UTF-8 \(byte 10\)"),
    "byte-order mark": (_manifest(lambda text: b"\xef\xbb\xbf" + text.encode()), "not JSON"),
    "two values": (_manifest(lambda text: text + "{}"), "not JSON"),
    "deep nesting": (_with_manifest(b"[" * 100_000), "nested deeper"),
    "nesting that can be read": (_claim(totals={"x": json.loads("[" * 80 + "]" * 80)}), "nested"),
    "a key twice": (_replaced('"agent"', '"seed": 0, "agent"'), "the key 'seed' occurs twice"),
    "not a number": (_replaced('"failed": 0.0', '"failed": NaN'), "NaN is no number"),
    "infinite": (_replaced('"failed": 0.0', '"failed": -Infinity'), "-Infinity is no number"),
    "infinite in disguise": (_replaced('"failed": 0.0', '"failed": 1e999'), "'1e999' is not finit"),
    "huge integer": (_replaced('"seed": 0', '"seed": 1' + "0" * 5_000), "more than 18 digits"),
    "half a character": (_replaced("An honest", "\\ud800"), "half a surrogate pair"),
    "other format": (_claim(format="memgym-submission/2"), "this memgym reads memgym-submission/1"),
    "no format": (_claim(format=None), "the format is 'None'"),
    "unknown field": (_claim(sponsor="me"), "unknown field 'sponsor'"),
    "missing field": (_replaced('"contact"', '"kontakt"'), 'no field "contact"'),
    "empty name": (_claim(name=""), "the name has 0 characters"),
    "name of spaces": (_claim(name="   "), "begins or ends with a space"),
    "long name": (_claim(name="x" * 81), "the name has 81 characters"),
    "name that is a number": (_claim(name=7), "the name must be text"),
    "name of two lines": (_claim(name="a\nb"), r"control character '\\n'"),
    "escape codes in the name": (_claim(name="a\x1b[2Jb"), r"control character '\\x1b'"),
    "joined name": (_claim(name="a\u200db"), r"'\\u200d', which cannot be seen"),
    "soft hyphen in the name": (_claim(name="a\u00adb"), "which cannot be seen"),
    "tag in the contact": (_claim(contact="a\U000e0041b"), "which cannot be seen"),
    "blank letters in the name": (_claim(name="\u3164\u115f"), "which cannot be seen"),
    "blank agent": (_claim(agent="a\u1160\uffa0"), "which cannot be seen"),
    "tower of marks": (_claim(name="a" + "\u0301" * 4), "more than 3 marks"),
    "name of signs": (_claim(name="---"), "has no letter or digit"),
    "contact of signs": (_claim(contact="@"), "has no letter or digit"),
    "turned contact": (_claim(contact="a\u202eb"), "which turns"),
    "negative size": (_claim(model_size=-1), "the model size must be"),
    "size that is true": (_claim(model_size=True), "the model size must be"),
    "fractional size": (_claim(model_size=1.5), "the model size must be"),
    "unknown track": (_claim(track="best"), "no track 'best'"),
    "unhashable track": (_claim(track=["verbatim"]), "no track"),
    "other track": (_claim(track="llm-reader"), "track is 'llm-reader', the traces say"),
    "higher score": (_higher_score, "totals.macro.mean is 1.01, the replay gives 1.0"),
    "score out of range": (_total(macro={"mean": 7}), "totals.macro has other fields"),
    "fewer questions": (_total(questions=5), "totals.questions is 5, the replay gives 6"),
    "smaller memory": (_total(memory_tokens=1.0), "totals.memory_tokens is 1.0"),
    "fewer invalid calls": (_total(invalid_calls=-1.0), "totals.invalid_calls"),
    "invented usage": (_total(usage={"agent": {"calls": 1}}), "totals.usage has other fields"),
    "totals left out": (_claim(totals={}), "totals has other fields"),
    "totals of a word": (_claim(totals="good"), "totals must be an object"),
    "unknown suite": (_nested("suite", name="mine"), "no suite 'mine'"),
    "old suite": (_nested("suite", version="0"), "version '0' of the suite small"),
    "other suite": (_nested("suite", name="other"), "the hash of the suite other"),
    "wrong hash of the suite": (_nested("suite", hash="0" * 64), "the hash of the suite small"),
    "suite without hash": (_claim(suite={"name": "small", "version": "1"}), 'no field "hash"'),
    "hash that is a list": (_nested("suite", hash=[]), "suite.hash must be text"),
    "too few episodes": (_claim(episodes=2), "2 episodes, the suite small has 3"),
    "other seed": (_claim(seed=1), "seed is 1, the traces say 0"),
    "negative seed": (_claim(seed=-1), "seed must be"),
    "other agent": (_claim(agent="better"), "agent is 'better', the traces say 'mine'"),
    "wrong hash of a member": (
        _replaced(f'"{TRACES}": "', f'"{TRACES}": "0'), "traces.jsonl.gz is not the file",
    ),
    "hash of another member": (_replaced(f'"{CARD}"', f'"evil.py": "0", "{CARD}"'), "'evil.py'"),
}  # fmt: skip


HOSTILE: Table = {
    **{f"archive: {name}": made for name, made in ARCHIVES.items()},
    **{f"manifest: {name}": made for name, made in MANIFESTS.items()},
    **{f"traces: {name}": made for name, made in TRACE_FILES.items()},
    **{f"records: {name}": made for name, made in RECORDS.items()},
    **{f"forged: {name}": made for name, made in FORGED.items()},
}
