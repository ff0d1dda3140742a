"""Traces of no honest submission, each by its name, with the reason to refuse it.

Traces as bytes come first, then records that are well formed and not true.
"""

import gzip
from collections.abc import Callable, Mapping
from typing import Any

from memgym.agent import Agent
from memgym.baselines.oracle import Oracle
from memgym.baselines.sentences import Sentences
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.traces.format import encoded
from tests.scripted import prompt_text, scripted_chat
from tests.submissions import MINE, Parts, played, reread

__all__ = ["FORGED", "RECORDS", "TRACE_FILES", "Maker", "Table"]

Maker = Callable[[Parts], bytes]
Table = Mapping[str, tuple[Maker, str]]

_STEP = ("steps", 1)
_ENV = "environment"


# ---------------------------------------------------------------------- traces as bytes


def _traces(edit: Callable[[bytes], bytes]) -> Maker:
    """Return a maker that edits the traces' packed bytes."""

    def make(parts: Parts) -> bytes:
        parts.traces = edit(b"".join(map(encoded, parts.records)))
        return parts.archive()

    return make


def _lines(edit: Callable[[str], str | bytes]) -> Maker:
    """Return a maker that edits the first record's line."""

    def make(parts: Parts) -> bytes:
        first, *rest = [gzip.decompress(encoded(record)).decode() for record in parts.records]
        edited = edit(first)
        content = edited if isinstance(edited, bytes) else edited.encode()
        members = [content, *(line.encode() for line in rest)]
        parts.traces = b"".join(gzip.compress(member, 1, mtime=0) for member in members)
        return parts.archive()

    return make


def _text(old: str, new: str) -> Maker:
    def edit(line: str) -> str:
        assert old in line, f"there is no {old} in the record"
        return line.replace(old, new, 1)

    return _lines(edit)


TRACE_FILES: Table = {
    "empty traces": (_traces(lambda content: b""), "3 of 3 episodes are missing"),
    "traces not packed": (_traces(gzip.decompress), "not a file of traces"),
    "traces cut off": (_traces(lambda content: content[:-9]), "breaks off within a record"),
    "garbage after the traces": (_traces(lambda content: content + b"hello"), "not a file of trac"),
    "wrong checksum": (
        _traces(lambda content: content[:-8] + b"0000" + content[-4:]), "not a file of traces",
    ),
    "bomb": (_lines(lambda line: b"0" * 70_000_000), "a record of more than 67,108,864 bytes"),
    "bomb of spaces": (_lines(lambda line: line + " " * 70_000_000), "a record of more than"),
    "two lines in one": (_lines(lambda line: line + line), "a record must be one line"),
    "line without end": (_lines(lambda line: line[:-1]), "a record must be one line"),
    "empty line": (_lines(lambda line: "\n"), "not JSON"),
    "record not UTF-8": (_lines(lambda line: b'{"a": "\xff"}\n'), "not JSON in UTF-8"),
    "record of a number": (_lines(lambda line: "7\n"), "must be an object"),
    "deep record": (_lines(lambda line: "[" * 100_000 + "\n"), "nested too deeply"),
    "deep action": (
        _text('"action":', '"action":' + '{"a":' * 90_000 + "0" + "}" * 90_000 + ',"b":'),
        "nested too deeply",
    ),
    "reward that is no number": (_text('"reward":', '"reward":NaN,"x":'), "NaN is no number"),
    "infinite reward": (_text('"reward":', '"reward":1e999,"x":'), "1e999 is not finite"),
    "endless integer": (_text('"seed":0', '"seed":' + "1" * 5_000), "not JSON"),
    "field twice": (_text('"seed":0', '"seed":0,"seed":1'), "'seed' occurs twice"),
    "old format of traces": (_text("memgym-trace/1", "memgym-trace/0"), "reads memgym-trace/1"),
    "unknown field of a record": (_text('"seed":0', '"seed":0,"x":1'), "unknown field 'x'"),
    "missing field of a record": (_text('"seed":0,', ""), 'the field "seed" is missing'),
    "score as text": (_text('"score":1.0', '"score":"1.0"'), "must be a finite number"),
    "score above one": (_text('"score":1.0', '"score":1.5'), "must be a number from 0 to 1"),
    "steps that are none": (_text('"steps":[', '"steps":[7,'), "must be an object"),
}  # fmt: skip


# ---------------------------------------------------------------------- records


_ALL, _SECOND = slice(None), slice(1, 2)


def _set(*path: Any, to: Any, which: slice = slice(1)) -> Maker:
    """Return a maker that sets a value in some records, by default in the first.

    ``to`` may be a function of the old value.
    """

    def make(parts: Parts) -> bytes:
        for record in parts.records[which]:
            place: Any = record
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = to(place[path[-1]]) if callable(to) else to
        return parts.archive()

    return make


def _setting(name: str, value: Any) -> Maker:
    return _set(_ENV, name, to=value, which=_ALL)


def _reading(name: str, value: Any) -> Maker:
    return _set(_ENV, "reader_options", name, to=value, which=_ALL)


def _records(edit: Callable[[list[dict[str, Any]]], object]) -> Maker:
    """Return a maker that edits the list of records."""

    def make(parts: Parts) -> bytes:
        edit(parts.records)
        return parts.archive()

    return make


def _swap_ids(records: list[dict[str, Any]]) -> None:
    first, second = records[0]["episode"], records[1]["episode"]
    records[0]["episode"], records[1]["episode"] = second, first


def _swap_plays(records: list[dict[str, Any]]) -> None:
    for name in ("steps", "answers", "metrics", "score", "reward", "memory_digest"):
        records[0][name], records[1][name] = records[1][name], records[0][name]


def _insert(text: str) -> dict[str, Any]:
    return {
        "name": "new_memory_insert",
        "arguments": {"memory_type": "semantic", "content": text},
    }


def _as_agent(**fields: Any) -> Maker:
    return _set("agent", to=lambda agent: {**agent, **fields}, which=_ALL)


def _both(parts: Parts, setting: tuple[str, Any], recorded: list[str]) -> bytes:
    """Set a part of the environment and what the record says of it."""
    for record in parts.records:
        record[_ENV][setting[0]] = setting[1]
        record["recorded"] = recorded
    return parts.archive()


# ---------------------------------------------------------------------- forged plays


class _Answering(Sentences):
    """Writes what ``sentences`` writes, and has been told the answers."""

    privileged = True

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        assert self.briefing.episode is not None
        questions = self.briefing.episode.questions
        golds = {question.question: question.answers[0] for question in questions}
        return golds.get(observation["question"], "no idea")


class _Padding(Sentences):
    """Leaves the memory that ``sentences`` leaves, by other calls."""

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        nothing = {"name": "memory_delete", "arguments": {"memory_id": "s999"}}
        return [*super().act(observation, info), nothing]


class _Cutting(Sentences):
    """Writes fewer items than ``sentences``."""

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        return list(super().act(observation, info))[:3]


def _forged(agent: Agent, *, told: Mapping[str, Any], **settings: Any) -> Maker:
    """Return a maker of a submission of another agent than its records tell of."""

    def prepare(env: MemAlphaEnv) -> None:
        if settings.get("reader") == "llm":
            vars(env.reader)["chat"] = scripted_chat(prompt_text)[0]

    def make(parts: Parts) -> bytes:
        # Told afterwards: pack() itself refuses some of it.
        made = reread(played(agent, MINE, prepare, **settings))
        described = {**MINE, "name": "sentences", "spec": "sentences", **told}
        made.manifest["agent"] = described["name"]
        return _as_agent(**described)(made)

    return make


def _used(part: str, **counts: int) -> Maker:
    return _set("usage", to={part: counts}, which=_ALL)


_LLM: Mapping[str, Any] = {"reader": "llm", "reader_options": {"model": "some-model"}}
_OTHER, _NAMES, _OWN = "chooses other actions", "goes by its name in both", "use its name"

FORGED: Table = {
    "answers of another": (_forged(_Answering(), told={}, answer_mode="agent"), _OTHER),
    "calls of another": (_forged(_Padding(), told={}), _OTHER),
    "fewer calls": (_forged(_Cutting(), told={}), _OTHER),
    "fewer calls before a model": (_forged(_Cutting(), told={}, **_LLM), _OTHER),
    "baseline with an empty model": (_forged(Oracle(), told={"model": {}}), _NAMES),
    "baseline with a model": (_forged(Oracle(), told={"model": {"model": "x"}}), _NAMES),
    "other spec": (_forged(Oracle(), told={"spec": "my_agents:Mine"}), _NAMES),
    "other name": (_forged(Oracle(), told={"name": "mine"}), _NAMES),
    "name in capitals": (_forged(Oracle(), told={"name": "Sentences"}), _NAMES),
    "name in wide letters": (
        _forged(Oracle(), told={"name": "\uff53entences", "spec": "my_agents:Mine"}), _NAMES,
    ),
    "two agents' name, empty model": (
        _forged(Oracle(), told={"name": "closed_book", "spec": "closed_book", "model": {}}), _NAMES,
    ),
    "path of the oracle": (
        _forged(Oracle(), told={"spec": "memgym.baselines.oracle:Oracle"}), _OWN,
    ),
    "path of another's name": (
        _forged(Oracle(), told={"name": "mine", "spec": "memgym.baselines:Oracle"}), _OWN,
    ),
    "options of another": (
        _forged(Sentences(), told={"options": {"x": 1}}, **_LLM), "cannot be made",
    ),
    "usage of a baseline": (
        lambda parts: _forged_usage("agent"), "the agent sentences has no language model",
    ),
}  # fmt: skip


def _forged_usage(part: str) -> bytes:
    told = {**MINE, "name": "sentences", "spec": "sentences"}
    return _used(part, calls=1)(reread(played(described=told)))


RECORDS: Table = {
    "episode twice": (_records(lambda found: found.insert(1, found[0])), "occurs twice"),
    "episode twice at the end": (_records(lambda found: found.append(found[0])), "occurs twice"),
    "episode missing": (_records(lambda found: found.pop(1)), "is missing or out of order"),
    "last episode missing": (_records(lambda found: found.pop()), "1 of 3 episodes are missing"),
    "other order of episodes": (_records(lambda found: found.reverse()), "missing or out of order"),
    "foreign episode": (_set("episode", "id", to="elsewhere/1"), "is not in small"),
    "id with escape codes": (_set("episode", "id", to="\x1b[2J"), r"'\\x1b\[2J' is not in small"),
    "ids exchanged": (_records(_swap_ids), "missing or out of order"),
    "plays exchanged": (_records(_swap_plays), "differs when replayed"),
    "other content": (_set("episode", "hash", to="0" * 64), "its hash is that of another content"),
    "other ability": (
        _set("episode", "ability", to="conflict_resolution"), "in the suite it is 'accurate_retri",
    ),
    "other index": (_set("episode", "index", to=1), "episode.index is '1'"),
    "index that is true": (_set("episode", "index", to=False), "must be a whole number"),
    "other source": (_set("episode", "source", to="jsonl"), "episode.source is 'jsonl'"),
    "other split": (_set("episode", "split", to="train"), "episode.split is 'train'"),
    "other chunking": (
        _set("episode", "source_options", "chunk_tokens", to=400), "episode.source_options is",
    ),
    "file as source": (
        _set("episode", "source_options", to={"path": "/etc/passwd"}), "episode.source_options",
    ),
    "more chunks": (_set("episode", "chunks", to=99), "episode.chunks: recorded 99"),
    "no suite": (_set("suite", to=None), "suite.name is 'None'"),
    "record of another suite": (_set("suite", "name", to="other"), "suite.name is 'other'"),
    "record of an old suite": (_set("suite", "version", to="0"), "suite.version is '0'"),
    "record of other data": (_set("suite", "hash", to="1" * 64), "suite.hash is '1111"),
    "other entry": (_set("suite", "entry", to="labels"), "suite.entry is 'labels'"),
    "edited answer": (_set("answers", 0, "prediction", to="Lund"), r"answers\[0\].prediction"),
    "edited score": (
        _set("answers", 0, "score", to=lambda old: 1.0 - old), r"answers\[0\].score: recorded",
    ),
    "edited cause": (
        _set("answers", 0, "cause", to=lambda old: "" if old else "lost"), r"answers\[0\].cause",
    ),
    "edited gold": (_set("answers", 0, "gold", to=["a"]), r"answers\[0\].gold"),
    "edited question": (_set("answers", 0, "question", to="Who?"), r"answers\[0\].question"),
    "other items read": (_set("answers", 0, "memory_ids", to=["s1"]), r"answers\[0\].memory_ids"),
    "invented failure": (_set("answers", 0, "failed", to=True), r"answers\[0\].failed"),
    "answer left out": (_set("answers", to=lambda old: old[:1]), "answers: recorded 1"),
    "answer twice": (_set("answers", to=lambda old: [*old, old[0]]), "answers: recorded 3"),
    "edited total": (_set("score", to=lambda old: 1.0 - old), "score: recorded"),
    "edited reward": (_set(*_STEP, "reward", to=9.0), "step 1: reward: recorded 9.0"),
    "edited return": (_set("reward", to=9.0), "reward: recorded 9.0"),
    "edited term": (_set(*_STEP, "terms", "content", to=0.123), "step 1: terms.content"),
    "edited metric": (_set("metrics", "memory_tokens", to=3.0), "metrics.memory_tokens"),
    "metric left out": (_set("metrics", to={}), "metrics"),
    "edited observation": (_set(*_STEP, "observation", to="0" * 16), "step 1: observation"),
    "edited memory": (_set(*_STEP, "memory", to="0" * 16), "step 1: memory: recorded"),
    "smaller memory told": (_set(*_STEP, "memory_tokens", to=1), "step 1: memory_tokens"),
    "edited last memory": (_set("memory_digest", to="0" * 64), "memory_digest: recorded"),
    "edited result": (_set(*_STEP, "results", 0, "status", to="skipped"), r"results\[0\].status"),
    "result left out": (_set(*_STEP, "results", to=[]), "step 1: results: recorded 0"),
    "edited action": (_set(*_STEP, "action", to=[_insert("Lund")]), "step 1: memory: recorded"),
    "action left out": (_set(*_STEP, "action", to=None), "step 1: memory: recorded"),
    "action of text": (_set(*_STEP, "action", to="<script>alert(1)</script>"), "step 1: memory"),
    "action that is a number": (_set(*_STEP, "action", to=7), "must be calls, text or null"),
    "step left out": (_set("steps", to=lambda old: old[:-1]), "differs when replayed"),
    "step too many": (_set("steps", to=lambda old: [*old, old[-1]]), "the episode is over after"),
    "chunk renumbered": (_set(*_STEP, "chunk", to=0), "step 1: chunk: recorded 0"),
    "larger reading budget": (_reading("budget_tokens", 30_000), "another reading budget"),
    "more items read": (_reading("top_k", 100), "retrieves 100 items per store"),
    "endless reading budget": (_reading("budget_tokens", 10**15), "another reading budget"),
    "reading budget of text": (_reading("budget_tokens", "all"), "not a count from 1"),
    "unknown reading option": (_reading("peek", True), 'no option "peek"'),
    "code as reader": (_setting("reader", "os:system"), "cannot be checked|recorded must be"),
    "code as reader, told": (
        lambda parts: _both(parts, ("reader", "os:system"), ["reader"]), "'os:system' cannot be",
    ),
    "code as judge": (
        lambda parts: _both(parts, ("answer_judge", "os:_Environ"), ["answer_judge"]),
        'the setting "answer_judge" is',
    ),
    "model as judge": (
        lambda parts: _both(parts, ("answer_judge", "llm"), ["answer_judge"]), "answer_judge",
    ),
    "code as content judge": (
        lambda parts: _both(parts, ("content_judge", "os:_Environ"), ["content_judge"]),
        'the setting "content_judge" is',
    ),
    "reader that is a model": (
        lambda parts: _both(parts, ("reader", "llm"), ["reader"]), "track is 'verbatim'",
    ),
    "agent that answers": (_setting("answer_mode", "agent"), "the traces say 'agent-answered'"),
    "memory limited afterwards": (_setting("memory_budget", 60), "differs when replayed"),
    "larger core": (_setting("core_capacity", 100_000), "is shown up to"),
    "shorter text": (_setting("max_chunks", 1), 'the setting "max_chunks" is'),
    "more calls": (_setting("max_calls", 100_000), 'the setting "max_calls" is'),
    "other token counter": (_setting("token_counter", "words"), 'the setting "token_counter" is'),
    "file as token counter": (_setting("token_counter", "hf:/etc"), 'the setting "token_counter"'),
    "other words": (_setting("tokeniser", "paper"), 'the setting "tokeniser" is'),
    "other rewards": (_setting("reward_weights", {"content": 9.0}), 'setting "reward_weights"'),
    "other rules of reward": (_setting("reward_rules", "paper"), 'the setting "reward_rules" is'),
    "other view": (_setting("view_recent", 3), "step 1: observation"),
    "setting of a wrong type": (_setting("view_recent", "all"), "the environment's settings"),
    "setting out of range": (_setting("turns_per_chunk", -1), "the environment's settings"),
    "unknown setting": (_setting("peek", True), "unknown field"),
    "settings of one episode": (
        _set(_ENV, "repair", to="json_repair", which=_SECOND), "not that of the other",
    ),
    "seed of one episode": (_set("seed", to=1, which=_SECOND), "seed is not that of the other"),
    "other seed throughout": (_set("seed", to=1, which=_ALL), "seed is 0, the traces say 1"),
    "agent of one episode": (
        _set("agent", "code", to="1", which=_SECOND), "agent is not that of the other",
    ),
    "version of one episode": (
        _set("versions", "memgym", to="9", which=_SECOND), "another version of memgym",
    ),
    "version of two lines": (
        _set("versions", "memgym", to="9\n9", which=_ALL), "control character",
    ),
    "models of one episode": (
        _set("models", to={"reader": {}}, which=_SECOND), "models is not that of the other",
    ),
    "name of a baseline": (_as_agent(spec="flat"), _NAMES),
    "oracle in disguise": (
        _as_agent(name="oracle", spec="oracle"), "agent oracle is shown the golds",
    ),
    "usage of an unknown part": (_used("<script>", calls=1), "unknown part '<script>'"),
    "usage told in escape codes": (_used("\x1b[2J", calls=1), r"unknown part '\\x1b\[2J'"),
    "usage of unknown counts": (_used("reader", dollars=1), "unknown count 'dollars'"),
    "privilege of text": (_as_agent(privileged="no"), "must be true or false"),
    "agent without spec": (_as_agent(spec=None), "agent.spec must be text"),
    "escape codes in the agent": (_as_agent(code="\x1b[2J"), "control character"),
    "unknown field of the agent": (_as_agent(verified=True), "unknown field 'verified'"),
    "options that are none": (_as_agent(options=[1]), "agent.options must be an object"),
    "novel as agent": (_as_agent(code="a" * 200_000), "at most 100,000"),
}  # fmt: skip
