"""Surface structure of text: sentences, labelled examples, dates. No model, no dictionary."""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "MONTHS",
    "LabelledExample",
    "find_dates",
    "format_example",
    "labelled_examples",
    "split_sentences",
    "strip_dates",
]

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

_MONTH_NUMBER = {name.lower(): number for number, name in enumerate(MONTHS, 1)}
_MONTH = "|".join(MONTHS)
_DATE = re.compile(
    rf"\b(?:(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})(?!\d)"
    rf"|(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?P<month>{_MONTH}),?\s+(?P<year>\d{{4}})\b"
    rf"|(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{{4}})\b)",
    re.IGNORECASE,
)

# Words whose full stop does not end a sentence; single initials are handled apart.
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "mt", "vs", "etc", "e.g", "i.e", "fig", "vol", "pp"}
    | {"jr", "gen", "lt", "capt", "rev"}
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?…])(?P<close>[\"'”’)\]]*)\s+(?=[\"'“‘(\[<]*[^\W_a-z])|(?<=[。！？])"
)
_LAST_WORD = re.compile(r"([\w.]+)\.$")
_LABEL_LINE = re.compile(r"^\s*labels?\s*:\s*(?P<label>.+?)\s*$", re.IGNORECASE)
_EXAMPLE = re.compile(
    r"^[ \t]*(?:sentence|sample|text|utterance)[ \t]*:[ \t]*(?P<text>[^\n]*?)"
    r"(?:[ \t]*[;\n][ \t]*|[ \t]+)labels?[ \t]*:[ \t]*(?P<label>[^\n;]+?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


class LabelledExample(NamedTuple):
    """One taught example of a classification task."""

    text: str
    label: str


def format_example(text: str, label: str) -> str:
    """Return the two lines in which every memgym source writes a labelled example.

    The shape (a sentence line, then a label line) is that of the published Memalpha data; line
    breaks inside ``text`` become spaces so that the two lines stay two.
    """
    return f"Sentence: {' '.join(text.split())}\nLabel: {label}"


def labelled_examples(text: str) -> list[LabelledExample]:
    """Return the labelled examples written in ``text``, in order of appearance."""
    return [LabelledExample(m["text"].strip(), m["label"].strip()) for m in _EXAMPLE.finditer(text)]


def split_sentences(text: str) -> list[str]:
    """Split ``text`` into sentences; a labelled example (sentence line, label line) stays one unit.

    Line breaks always end a sentence. Nothing is dropped but the white space between sentences.
    """
    sentences: list[str] = []
    line_before, first_of_it = "", 0
    for line in text.splitlines():
        if not (_LABEL_LINE.match(line) and sentences):
            line_before, first_of_it = line.strip(), len(sentences)
            sentences.extend([line_before] if _EXAMPLE.match(line_before) else _split_line(line))
        elif _EXAMPLE.match(example := f"{line_before}\n{line.strip()}"):
            sentences[first_of_it:] = [example]  # the taught text may hold several sentences
            line_before = example
        else:
            sentences[-1] = f"{sentences[-1]}\n{line.strip()}"
    return sentences


def _split_line(line: str) -> Iterator[str]:
    start = 0
    for match in _SENTENCE_END.finditer(line):
        candidate = line[start : match.start()]
        if _ends_in_abbreviation(candidate):
            continue
        sentence = line[start : match.end("close") if match["close"] else match.start()].strip()
        if sentence:
            yield sentence
        start = match.end()
    rest = line[start:].strip()
    if rest:
        yield rest


def _ends_in_abbreviation(text: str) -> bool:
    word = _LAST_WORD.search(text)
    if word is None:
        return False
    letters = word[1]
    return letters.lower() in _ABBREVIATIONS or (
        len(letters) == 1 and letters.isalpha() and letters.isupper()
    )


def find_dates(text: str) -> list[str]:
    """Return the calendar dates written in ``text`` as ISO strings, in order of appearance.

    Understood: ``2031-03-05``, ``5 March 2031``, ``March 5, 2031`` (any case, ordinals too).
    """
    return [iso for match in _DATE.finditer(text) if (iso := _iso(match))]


def strip_dates(text: str) -> str:
    """Return ``text`` without its calendar dates (see :func:`find_dates`)."""
    return _DATE.sub(" ", text)


def _iso(match: re.Match[str]) -> str | None:
    if match["iso"]:
        year, month, day = (int(part) for part in match["iso"].split("-"))
    else:
        name = match["month"] or match["month2"]
        year, month = int(match["year"] or match["year2"]), _MONTH_NUMBER[name.lower()]
        day = int(match["day"] or match["day2"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{year:04d}-{month:02d}-{day:02d}"
