"""The page of a training run: learning curves, warnings, and an episode before and after.

One HTML file that needs nothing else, and the reward terms as picture files. Not here: what was
measured (:mod:`.metrics`), and who played the episode (:mod:`.training`).
"""

import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memgym.agents.grpo.charts import CHART_STYLE, chart
from memgym.agents.grpo.folder import RunFolder
from memgym.atomic import write_whole
from memgym.config_file import toml_text
from memgym.errors import UsageError
from memgym.pictures import Line, draw_lines

__all__ = ["draw_curves", "write_page"]

_Rows = Sequence[Mapping[str, Any]]

_TERMS = {
    "r1": "r1: answers that are right",
    "r2": "r2: calls that succeed",
    "r3": "r3: how much smaller the memory is than the text",
    "r4": "r4: written items that are valid",
    "return": "return: the weighted sum",
    "memory_share": "memory, share of the text",
}
_DETAILS = {
    "Response length, tokens": ("response_tokens", "response_tokens_max"),
    "Prompt length, tokens": ("prompt_tokens", "prompt_tokens_max"),
    "Responses cut off, calls that fail": ("truncated_share", "failed_call_share"),
    "Groups": ("groups", "dropped_groups"),
    "Loss": ("loss",),
    "Entropy, nats per token": ("entropy",),
    "KL divergence": ("update_kl", "reference_kl"),
    "Tokens that the clip left out": ("clipped_low", "clipped_high", "clipped_dual"),
    "Gradient norm": ("gradient_norm",),
    "Rollout against trainer, nats": ("rollout_difference", "rollout_difference_max"),
    "Padding, share of the tokens": ("padding_share",),
}
_STYLE = """\
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1c1c1c; --soft: #f3f4f6;
  --rule: #d5d8dd; --good: #00734f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181c; --ink: #e6e6e6; --soft: #22252b;
  --rule: #3a3f47; --good: #4fd1a1; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.charts { display: grid; gap: 1.5rem; grid-template-columns:
  repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.sides { display: grid; gap: .75rem; margin: .5rem 0; grid-template-columns:
  repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.sides > div { min-width: 0; }
pre { background: var(--soft); border: 1px solid var(--rule); border-radius: 6px; margin: 0;
  padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem; }
details { margin: .5rem 0; } summary { cursor: pointer; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--rule); padding: .35rem .5rem; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; min-width: 5rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.warnings li { color: var(--bad); }
"""


def write_page(folder: RunFolder) -> Path:
    """Write ``report.html`` into a run's folder and return it.

    Raises:
        UsageError: the folder holds no run, or ``examples.json`` in it is damaged.
    """
    settings = folder.settings()
    rows = folder.rows()
    learned = [row for row in rows if _is_learned(row)]
    warm_up = [row for row in rows if not _is_learned(row)]
    name = html.escape(folder.path.resolve().name)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Training run {name}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}{CHART_STYLE}</style></head><body><h1>Training run {name}</h1>",
        _summary(learned),
        _warnings(rows),
        _section("Reward terms", [_both(learned, key, title) for key, title in _TERMS.items()]),
        _section("What the policy does", _behaviour(learned)),
        _section("Lengths and updates", [_chart(learned, *item) for item in _DETAILS.items()]),
        _section("Warm-up", _warm_up(warm_up)),
        _examples(folder.path / "examples.json"),
        f"<h2>Settings</h2><details><summary>As a configuration file</summary><pre>"
        f"{html.escape(toml_text(_without_null(settings.to_json())))}</pre></details>",
        "</body></html>\n",
    ]
    page = folder.path / "report.html"
    write_whole(page, "\n".join(filter(None, parts)))
    return page


def draw_curves(folder: RunFolder) -> Path:
    """Draw the reward terms over the steps, ``curves.png`` and ``curves.svg``; return the first.

    Raises:
        UsageError: matplotlib is not installed, or there is nothing to draw.
    """
    rows = folder.rows()
    keys = {key: key for key in ("r1", "r2", "r3", "r4")}
    keys |= {f"validation/{key}": f"{key} on validation" for key in keys}
    lines = [line for key, name in keys.items() if (line := _line(rows, key, name)).x]
    if not lines:
        raise UsageError(f"{folder.path} holds no rollouts to draw")
    return draw_lines(
        folder.path / "curves", lines, title="Reward terms", x_label="step", y_label="mean"
    )[0]


# ---------------------------------------------------------------------- figures


def _is_learned(row: Mapping[str, Any]) -> bool:
    """Whether the policy played in the step, be it for training or for validation."""
    return "r1" in row or "validation/r1" in row


def _summary(rows: _Rows) -> str:
    judged = [row for row in rows if row.get("validation/r1") is not None]
    if not judged:
        return ""
    first, best = judged[0], max(judged, key=lambda row: float(row["validation/r1"]))
    return (
        f"<p>Answers right on the validation split: {100 * first['validation/r1']:.1f} % at step "
        f"{first['step']}, <b>{100 * best['validation/r1']:.1f} %</b> at best (step "
        f"{best['step']}).</p>"
    )


def _warnings(rows: _Rows) -> str:
    told = [
        f"<li>{html.escape(str(row['stage']))}, step {row['step']}: {html.escape(str(words))}</li>"
        for row in rows
        for words in row.get("warnings", ())
    ]
    return f'<h2>Warnings</h2><ul class="warnings">{"".join(told)}</ul>' if told else ""


def _section(title: str, figures: Sequence[str]) -> str:
    drawn = "".join(figures)
    return f'<h2>{title}</h2><div class="charts">{drawn}</div>' if drawn else ""


def _line(rows: _Rows, key: str, name: str, *, reference: bool = False) -> Line:
    found = [row for row in rows if row.get(key) is not None]
    x, y = [float(row["step"]) for row in found], [float(row[key]) for row in found]
    return Line(name, x, y, reference=reference)


def _both(rows: _Rows, key: str, title: str) -> str:
    training = _line(rows, key, "training")
    return chart(title, [training, _line(rows, f"validation/{key}", "validation", reference=True)])


def _chart(rows: _Rows, title: str, keys: Sequence[str]) -> str:
    return chart(title, [_line(rows, key, key.replace("_", " ")) for key in keys])


def _behaviour(rows: _Rows) -> list[str]:
    return [
        _kinds(rows, "Answers by ability, training", "r1/"),
        _kinds(rows, "Answers by ability, validation", "validation/r1/"),
        _chart(rows, "Calls per response", ("calls",)),
        _kinds(rows, "Tool calls, share of each", "calls/", absent=0.0),
        _kinds(rows, "Why answers are wrong, training", "cause/", absent=0.0),
        _kinds(rows, "Why answers are wrong, validation", "validation/cause/", absent=0.0),
    ]


def _kinds(rows: _Rows, title: str, prefix: str, absent: float | None = None) -> str:
    """Return a chart with a line per name that begins with ``prefix``.

    Args:
        rows: The steps.
        title: Of the chart.
        prefix: Of the names.
        absent: What a row counts as that has others of them but not this; ``None``: nothing.
    """
    names = sorted({key for row in rows for key in row if key.startswith(prefix)})
    having = [row for row in rows if any(key in row for key in names)]
    full = [{"step": row["step"], **{key: row.get(key, absent) for key in names}} for row in having]
    return chart(
        title, [_line(full, key, key.removeprefix(prefix).replace("_", " ")) for key in names]
    )


def _warm_up(rows: _Rows) -> list[str]:
    charts = []
    for stage in dict.fromkeys(str(row["stage"]) for row in rows):
        of_stage = [row for row in rows if row["stage"] == stage]
        names = {key for row in of_stage for key in row} - {"stage", "step", "warnings"}
        charts += [_chart(of_stage, f"{stage}: {key}", (key,)) for key in sorted(names)]
    return charts


# ---------------------------------------------------------------------- examples


def _examples(file: Path) -> str:
    if not file.is_file():
        return ""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return _sides(content["before"], content["after"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is damaged ({type(error).__name__}: {error})") from error


def _sides(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    sides = (before, after)
    chunks = [
        f"<details{' open' * (number < 2)}><summary>Chunk {number + 1}</summary>"
        f"<pre>{html.escape(old['text'])}</pre>"
        f"{_pair((old, new), lambda chunk: chunk['response'])}</details>"
        for number, (old, new) in enumerate(zip(before["chunks"], after["chunks"], strict=True))
    ]
    return (
        f"<h2>One validation episode before and after</h2><p>{html.escape(before['episode_id'])}: "
        f"{100 * before['score']:.0f} % of the answers are right before, "
        f"{100 * after['score']:.0f} % after.</p><h3>Questions</h3>{_questions(before, after)}"
        f"<h3>Memory at the end</h3>{_pair(sides, lambda side: side['memory'])}"
        f"<h3>What was read and written</h3>{''.join(chunks)}"
    )


def _pair(sides: Sequence[Mapping[str, Any]], text: Callable[[Mapping[str, Any]], str]) -> str:
    shown = (
        f"<div>{name}<pre>{html.escape(text(side)) or '(nothing)'}</pre></div>"
        for name, side in zip(("before", "after"), sides, strict=True)
    )
    return f'<div class="sides">{"".join(shown)}</div>'


def _questions(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in ("question", "right", "before", "after"))
    rows = [
        f"<tr><td>{html.escape(old['question'])}</td>"
        f"<td>{html.escape(' | '.join(old['answers']))}</td>{_answer(old)}{_answer(new)}</tr>"
        for old, new in zip(before["questions"], after["questions"], strict=True)
    ]
    return f'<div class="wide"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'


def _answer(question: Mapping[str, Any]) -> str:
    right = question["score"] >= 1
    mark = "✓" if right else "✗"
    cause = "" if right else f" ({html.escape(str(question['cause']).replace('_', ' '))})"
    answer = str(question["answer"])
    shown = html.escape(answer if len(answer) <= 300 else answer[:299] + "…")
    return f'<td class="{"good" if right else "bad"}">{mark}{cause} {shown}</td>'


def _without_null(value: Any) -> Any:
    """Return settings without those that are null, which TOML has no form for."""
    if isinstance(value, Mapping):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return value
