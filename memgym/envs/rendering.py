"""A text frame of the environment: where the episode stands, chunk, memory, calls, rewards."""

import textwrap
from collections.abc import Mapping, Sequence

from memgym.envs.view import clip
from memgym.episode import Episode
from memgym.execute import ToolResult
from memgym.memory import Memory

__all__ = ["render_frame"]

_WIDTH = 96
_CHUNK_CHARACTERS = 1_200
_MEMORY_CHARACTERS = 2_400
_CALLS = 12
_BAR = 20
_MARKS = {"ok": ("✓", "32"), "skipped": ("·", "33"), "error": ("✗", "31")}


def render_frame(
    episode: Episode,
    memory: Memory,
    *,
    chunk_index: int,
    chunk: str,
    question: str,
    memory_view: str,
    results: Sequence[ToolResult],
    terms: Mapping[str, float],
    colour: bool,
) -> str:
    """Return one frame, at most about 60 lines; ANSI colours only if ``colour``."""
    total = len(episode.chunks)
    done = min(chunk_index, total)
    bar = "█" * round(_BAR * done / total) + "░" * (_BAR - round(_BAR * done / total))
    budget = f" of {memory.budget_tokens}" if memory.budget_tokens else ""
    lines = [
        f"{episode.source} · {episode.id}",
        f"{bar} {done} of {total} chunks read · memory {memory.total_tokens}{budget} tokens, "
        f"{len(memory)} items",
    ]
    if results:
        lines += _section("calls", [_call_line(result, colour) for result in results[:_CALLS]])
        if len(results) > _CALLS:
            lines.append(f"  … and {len(results) - _CALLS} more")
    if any(terms.values()):
        shown = " · ".join(f"{name} {value:.3f}" for name, value in terms.items())
        lines += _section("reward terms", [f"  {shown}"])
    lines += _section("memory", _wrapped(clip(memory_view, _MEMORY_CHARACTERS)))
    if question:
        lines += _section("question", _wrapped(question))
    elif chunk:
        title = f"chunk {chunk_index + 1} of {total}"
        lines += _section(title, _wrapped(clip(chunk, _CHUNK_CHARACTERS)))
    else:
        lines += _section("end of the episode", [])
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"── {title} ".ljust(_WIDTH, "─"), *lines]


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, _WIDTH - 2, initial_indent="  ", subsequent_indent="  ") or [
            ""
        ]
    return lines


def _call_line(result: ToolResult, colour: bool) -> str:
    mark, code = _MARKS[result.status]
    if colour:
        mark = f"\x1b[{code}m{mark}\x1b[0m"
    message = " ".join(result.message.split())
    return f"  {mark} {result.call.name or 'action'}: {clip(message, 120)}"
