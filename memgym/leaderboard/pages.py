"""The pages of the site, from what was verified: HTML text for each file name.

Every text of a submission goes through a template with autoescaping, or through :mod:`.card`. Each
page has its style and its script inside, and a policy that allows these two, told by their hashes,
and nothing else: not even a script that got into the page would run.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import memgym
from memgym.diagnosis import CAUSES
from memgym.leaderboard import words
from memgym.leaderboard.card import card_html
from memgym.leaderboard.scatter import HEIGHT, WIDTH, Scatter, scatter
from memgym.leaderboard.standings import OVERALL, Contest, Row, Standing
from memgym.submissions import Verified
from memgym.viewer.self_contained import content_policy, packaged_text

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["FOLDER", "Links", "index_page", "page_name", "submission_page"]

FOLDER = "submissions"
"""Where the pages of submissions are, below the index."""

_PACKAGE = "memgym.leaderboard"
_ABILITIES = {
    "accurate_retrieval": "Retrieval",
    "test_time_learning": "Learning",
    "long_range_understanding": "Long range",
    "conflict_resolution": "Conflicts",
}
_SORTS = {
    "score": "Score", "rank": "Rank", "name": "Name", "memory": "Memory", "cost": "LLM tokens",
    "size": "Model size", "budget": "Memory budget",
}  # fmt: skip
_CAUSES = {
    "right": "answered in full",
    "not_written": "some evidence never entered the memory",
    "lost": "it did, and was deleted, overwritten or cut off",
    "not_retrieved": "the memory holds it, the reader was not shown it",
    "misread": "the reader was shown it and still answered wrongly",
}


@dataclass(frozen=True, slots=True)
class Links:
    """What lies beside the page of a submission.

    Attributes:
        file: The submitted file, relative to the page; ``""`` if it is not on the site.
        episodes: Views of episodes by their id, relative to the page.
    """

    file: str
    episodes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Picture:
    title: str
    label: str
    views: Mapping[str, Scatter]
    amount: Callable[[Verified], str]
    nothing: str = ""


def page_name(row: Row) -> str:
    """Return the file name of a submission's page, seen from the index."""
    return f"{FOLDER}/{row.slug}.html"


def index_page(contests: Sequence[Contest]) -> str:
    """Return the page with the table and the pictures."""
    rows = [row for contest in contests for row in contest.rows]
    seen = {view for contest in contests for view in contest.views}
    views = [view for view in words.VIEW_TITLES if view in seen]
    suites = _suite_names(contests)
    return _page(
        "index.html",
        ("theme.js", "board.js"),
        contests=contests,
        pictures=[_pictures(contest) for contest in contests],
        abilities=[(view, _ABILITIES[view]) for view in views if view != OVERALL],
        views=[(view, words.VIEW_TITLES[view]) for view in views],
        suites=_options(iter(suites)),
        suite_names=suites,
        tracks=[(name, words.track(name)) for name in _seen(row.submission.track for row in rows)],
        sizes=_options(words.size_class(row.submission) for row in sorted(rows, key=_size)),
        budgets=_options(words.budget(row.submission) for row in sorted(rows, key=_budget)),
        sorts=[
            *_SORTS.items(),
            *((view, words.VIEW_TITLES[view]) for view in views if view != OVERALL),
        ],
        width=WIDTH,
        height=HEIGHT,
    )


def submission_page(contest: Contest, row: Row, links: Links) -> str:
    """Return the page of a submission.

    Raises:
        UsageError: its card cannot be rendered.
    """
    from markupsafe import Markup

    item = row.submission
    return _page(
        "submission.html",
        ("theme.js",),
        contest=contest,
        row=row,
        rows={other.slug: other for other in contest.rows},
        ranked=sum(not other.submission.privileged for other in contest.rows),
        titles=words.VIEW_TITLES,
        causes=list(_causes(item)),
        card=Markup(card_html(item.card)),
        facts=_facts(item),
        details=json.dumps(
            {"agent": item.agent_details, "settings": item.settings},
            indent=2, sort_keys=True, ensure_ascii=False,
        ),
        views=links.episodes,
        file=links.file,
    )  # fmt: skip


def _page(template: str, scripts: Sequence[str], **values: Any) -> str:
    from markupsafe import Markup

    style = packaged_text(_PACKAGE, "assets/style.css")
    script = packaged_text(_PACKAGE, *(f"assets/{name}" for name in scripts))
    page = _environment().get_template(template)
    text = page.render(
        style=Markup(style),
        script=Markup(script),
        policy=Markup(content_policy(style, script)),
        version=memgym.__version__,
        **values,
    )
    # A lone surrogate, which JSON can spell, is no text that a file could hold.
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for function in (
        words.budget, words.compact, words.cost, words.interval, words.model_size, words.percent,
        words.points, words.size_class, words.tokens_used, words.track,
    ):  # fmt: skip
        environment.filters[function.__name__] = function
    environment.filters.update(page=page_name, rank=_rank, behind=_behind)
    return environment


# ---------------------------------------------------------------------- the index


def _pictures(contest: Contest) -> list[_Picture]:
    def views(amount: Callable[[Verified], float]) -> Mapping[str, Scatter]:
        return {view: scatter(contest, view, amount) for view in contest.views}

    used = any(row.submission.usage for row in contest.rows)
    return [
        _Picture(
            "memory",
            "tokens of memory at the end of an episode, mean",
            views(lambda item: item.memory_tokens),
            lambda item: f"memory {words.compact(item.memory_tokens)} tokens",
        ),
        _Picture(
            "cost",
            "tokens of language models per episode, mean",
            views(words.tokens_used),
            lambda item: f"tokens of language models per episode: {words.cost(item)}",
            "" if used else "No submission here used a language model.",
        ),
    ]


def _suite_names(contests: Sequence[Contest]) -> list[str]:
    """Return each contest's suite; with its hash where one version has had several contents."""
    hashes: dict[str, set[str]] = {}
    named = [
        (f"{first.suite}, version {first.suite_version}", first.suite_hash)
        for first in (contest.first for contest in contests)
    ]
    for name, found in named:
        hashes.setdefault(name, set()).add(found)
    return [
        f"{name}, content {found[:8]}" if len(hashes[name]) > 1 else name for name, found in named
    ]


def _rank(standing: Standing) -> str:
    if standing.rank is None:
        return "–"
    return f"{standing.rank} =" if standing.shared else f"{standing.rank}"


def _behind(standing: Standing) -> str:
    """Return the slugs of those that are ahead of it."""
    return " ".join(item.other for item in standing.differences if item.behind)


def _size(row: Row) -> tuple[bool, int]:
    size = row.submission.model_size
    return size is None, size or 0


def _budget(row: Row) -> tuple[bool, bool, float]:
    limit = row.submission.memory_budget
    return not limit, isinstance(limit, int), limit


def _seen(values: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _options(values: Iterator[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in _seen(values)]


# ---------------------------------------------------------------------- one submission


def _causes(item: Verified) -> Iterator[dict[str, Any]]:
    wrong: dict[str, float] = {name: item.causes.get(name, 0.0) for name in CAUSES}
    shares: dict[str, float] = {"right": 1 - sum(wrong.values()), **wrong}
    start = 0.0
    for name, counted in shares.items():
        share = min(max(counted, 0.0), 1.0)
        title = words.cause(name).capitalize()
        yield {
            "name": name,
            "title": title,
            "share": share,
            "start": start,
            "meaning": _CAUSES[name],
        }
        start += share


def _facts(item: Verified) -> list[tuple[str, str]]:
    reader = f"{item.reader}, model {item.reader_model}" if item.reader_model else item.reader
    reproduced = {True: "chosen again, the same", False: "chosen again, others", None: "recorded"}
    return [
        ("Agent", item.agent),
        ("Actions", reproduced[item.reproduced]),
        ("Contact", item.contact),
        ("Suite", f"{item.suite}, version {item.suite_version}"),
        ("Content of the suite (sha256)", item.suite_hash),
        ("Reader", reader),
        ("Model size, as stated", words.model_size(item)),
        ("Memory budget", words.budget(item)),
        ("Seed", str(item.seed)),
        ("Episodes and questions", f"{len(item.episodes)} and {item.questions:,}"),
        ("Played with", f"memgym {item.memgym}"),
        ("Submitted file (sha256)", item.sha256),
    ]
