"""A step of a recorded episode as lines for the terminal: the words of the page, without its looks.

A frame is a row of :class:`Span`; whoever prints it chooses the colours. What a colour says is
said by a sign, too. Not here: keys and printing (:mod:`memgym.cli.stepping`).
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from memgym.viewer.changes import CORE, Change
from memgym.viewer.model import CallView, EpisodeView, QuestionView, memory_after
from memgym.viewer.printable import printable

__all__ = ["Look", "Span", "frame_of", "plain_text"]

Look = Literal["plain", "title", "quiet", "added", "edited", "gone"]

_WIDTH = 96
_BAR = 20
_CALLS, _CHANGES, _NEWEST = 12, 24, 8  # most that are shown
_LINE_CHARACTERS, _TEXT_CHARACTERS = 160, 1_200
_CALL_SIGNS: dict[str, tuple[str, Look]] = {
    "ok": ("✓", "added"),
    "skipped": ("·", "edited"),
    "error": ("✗", "gone"),
}
_CHANGE_SIGNS: dict[str, tuple[str, Look]] = {
    "inserted": ("+", "added"),
    "edited": ("~", "edited"),
    "deleted": ("-", "gone"),
}


class Span(NamedTuple):
    """A piece of a frame and how it is meant to look."""

    text: str
    look: Look = "plain"


def plain_text(frame: Iterable[Span]) -> str:
    """Return a frame without its looks."""
    return "".join(span.text for span in frame)


def frame_of(view: EpisodeView, index: int) -> list[Span]:
    """Return what there is to see of the step with this index, about a screenful."""
    step = view.steps[index]
    frame = [*_head(view, index), *_title(f"chunk {step.chunk + 1} of {len(view.chunks)}")]
    frame.append(Span(_block(view.chunks[step.chunk])))
    if step.question:
        frame += [*_title("the agent was asked"), Span(_block(step.question))]
    frame += [*_title("calls"), *_calls(step.calls)]
    frame += [*_title("changes"), *_changes(step.changes)]
    terms = " · ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
    frame += [*_title(f"reward {step.reward:.3f}"), Span(f"  {terms}\n", "quiet")]
    frame += [*_title("memory after the step"), *_memory(memory_after(view, index))]
    asked = [question for question in view.questions if question.step == index]
    if asked:
        frame += [*_title("questions asked here"), *_questions(asked)]
    return frame


def _head(view: EpisodeView, index: int) -> Iterator[Span]:
    done = round(_BAR * (index + 1) / len(view.steps))
    step = view.steps[index]
    yield Span(f"{_line(view.id)} · {_line(view.agent)}\n", "title")
    yield Span(
        f"{'█' * done}{'░' * (_BAR - done)} step {index + 1} of {len(view.steps)} · memory "
        f"{step.memory_tokens} tokens, {step.memory_items} items\n"
    )


def _title(text: str) -> Iterator[Span]:
    yield Span(f"── {text} ".ljust(_WIDTH, "─") + "\n", "quiet")


def _calls(calls: tuple[CallView, ...]) -> Iterator[Span]:
    if not calls:
        yield Span("  none\n", "quiet")
    for call in calls[:_CALLS]:
        sign, look = _CALL_SIGNS[call.status]
        yield Span(f"  {sign} ", look)
        yield Span(f"{_line(call.name) or 'action'}: {_line(call.message)}\n")
    yield from _more(len(calls) - _CALLS)


def _changes(changes: tuple[Change, ...]) -> Iterator[Span]:
    if not changes:
        yield Span("  none\n", "quiet")
    for change in changes[:_CHANGES]:
        sign, look = _CHANGE_SIGNS[change.kind]
        yield Span(f"  {sign} [{change.memory_id}] ", look)
        yield from _parts(change)
        yield Span("\n")
    yield from _more(len(changes) - _CHANGES)


def _parts(change: Change) -> Iterator[Span]:
    """Yield the text of a change, edits with what went in [-…-] and what came in {+…+}."""
    if change.kind != "edited":
        yield Span(_line(change.parts[0][1]))
        return
    for kind, text in change.parts:
        if kind == "=":
            yield Span(_middle(text))
        elif kind == "-":
            yield Span(f"[-{_line(text)}-]", "gone")
        else:
            yield Span(f"{{+{_line(text)}+}}", "added")


def _memory(memory: dict[str, str]) -> Iterator[Span]:
    if memory.get(CORE):
        yield Span(f"  core: {_line(memory[CORE])}\n")
    items = [(name, text) for name, text in memory.items() if name != CORE]
    if not items:
        yield Span("  no items\n", "quiet")
    elif len(items) > _NEWEST:
        yield Span(f"  the newest {_NEWEST} of {len(items)} items:\n", "quiet")
    for name, text in items[-_NEWEST:]:
        yield Span(f"  [{name}] {_line(text)}\n")


def _questions(asked: list[QuestionView]) -> Iterator[Span]:
    for question in asked:
        right = question.score >= 1
        sign, look = _CALL_SIGNS["ok" if right else "error"]
        yield Span(f"  {sign} ", look)
        retrieved = ", ".join(question.memory_ids[:6]) or "nothing"
        retrieved += ", …" if len(question.memory_ids) > 6 else ""
        cause = "" if right else f" · {question.cause.replace('_', ' ')}"
        yield Span(f"{_line(question.question)}\n")
        yield Span(f"      {question.score:.2f}{cause} · retrieved {_line(retrieved)}\n", "quiet")


def _more(count: int) -> Iterator[Span]:
    if count > 0:
        yield Span(f"  … and {count} more\n", "quiet")


def _line(text: str) -> str:
    """Return a text in one line, not too long."""
    words = " ".join(printable(text).split())
    return words if len(words) <= _LINE_CHARACTERS else words[: _LINE_CHARACTERS - 1] + "…"


def _middle(text: str) -> str:
    """Return what stayed between two changes, or beside one: its ends are what matters."""
    plain = printable(text).replace("\n", " ")
    half = _LINE_CHARACTERS // 2
    return plain if len(plain) <= 2 * half else f"{plain[:half]} … {plain[-half:]}"


def _block(text: str) -> str:
    """Return a text indented and wrapped, cut where it is long."""
    shown = printable(text)
    if len(shown) > _TEXT_CHARACTERS:
        shown = shown[: _TEXT_CHARACTERS - 1] + "…"
    wrapped = (textwrap.wrap(line, _WIDTH - 2) or [""] for line in shown.splitlines())
    return "".join(f"  {line}\n" for lines in wrapped for line in lines)
