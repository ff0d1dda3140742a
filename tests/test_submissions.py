"""Submissions: what is packed, what is verified, in which track, and what looks suspicious."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memgym.agent import Agent
from memgym.baselines.calls import insert
from memgym.baselines.oracle import Oracle
from memgym.baselines.sentences import Sentences
from memgym.benchmarks.plan import make_plan
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.suites import Suite, load_episode, resolve
from memgym.benchmarks.summary import summarise
from memgym.cli.main import _parser as parser
from memgym.cli.main import main
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.submissions import Verified, isolated, packing
from memgym.submissions.checking import check_submission
from memgym.submissions.isolated import Limits, verify
from memgym.submissions.packing import Author, pack, pack_run
from memgym.submissions.refusal import RefusedError
from memgym.text import split_sentences
from tests.scripted import prompt_text, scripted_chat
from tests.submissions import AUTHOR, MINE, SMALL, SUITES, TELLING, honest, played, reread

SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)> & [link](javascript:alert(1))"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two agents on the small suite."""
    folder = tmp_path_factory.mktemp("run") / "run"
    run_plan(make_plan([resolve(SMALL)], ["sentences", "oracle"]), folder)
    return folder


def checked(content: bytes, folder: Path) -> Verified:
    file, work = folder / "submission.zip", folder / "work"
    file.write_bytes(content)
    work.mkdir()
    return check_submission(file, work, suites=SUITES)


def test_what_is_verified_are_the_numbers_of_the_run(run: Path, tmp_path: Path) -> None:
    content = pack_run(run, AUTHOR, agent="sentences", suites=SUITES)
    found = checked(content, tmp_path)
    plan = make_plan([resolve(SMALL)], ["sentences"])
    records = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    mine = {(r["agent"], r["episode_id"]): r for r in records if r["agent"] == "sentences"}
    row = summarise(plan, mine, {})[0].rows[0]
    for name in ("macro", "abilities", "entries", "memory_tokens", "memory_share", "causes"):
        assert getattr(found, name) == getattr(row, name)
    assert [(e.id, e.score) for e in found.episodes] == [
        (k[1], r["score"]) for k, r in mine.items()
    ]
    assert (found.suite, found.suite_version) == ("small", "1")
    assert (found.track, found.reader, found.reader_model) == ("verbatim", "verbatim", "")
    assert found.reproduced
    assert not found.privileged
    assert found.suspicious == ()
    assert found.settings == {}


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    first = pack_run(run, AUTHOR, agent="sentences", suites=SUITES)
    assert first == pack_run(run, AUTHOR, agent="sentences", suites=SUITES)
    assert first != pack_run(run, AUTHOR, agent="oracle", suites=SUITES)


def test_an_agent_that_sees_the_golds_is_marked(run: Path, tmp_path: Path) -> None:
    found = checked(pack_run(run, AUTHOR, agent="oracle", suites=SUITES), tmp_path)
    assert found.privileged
    assert found.reproduced


def test_what_is_verified_goes_through_json(tmp_path: Path) -> None:
    found = checked(honest().archive(), tmp_path)
    assert Verified.from_json(found.to_json()) == found
    for text in ("", "[]", "{}", found.to_json().replace('"macro"', '"mean"')):
        with pytest.raises(UsageError, match="no record of a verified submission"):
            Verified.from_json(text)


def test_html_and_scripts_are_kept_as_text(tmp_path: Path) -> None:
    described = {**MINE, "name": SCRIPT, "spec": SCRIPT, "options": {SCRIPT: SCRIPT}}
    author = Author(SCRIPT[:80], SCRIPT, f"# {SCRIPT}\n\n{SCRIPT}\n", None)
    found = checked(pack(played(described=described), author, resolve(SMALL)), tmp_path)
    assert (found.name, found.contact, found.agent) == (author.name, SCRIPT, SCRIPT)
    assert found.card == author.card
    assert found.agent_details["options"] == {SCRIPT: SCRIPT}


def test_an_agent_of_ones_own_is_not_reproduced(tmp_path: Path) -> None:
    assert checked(honest().archive(), tmp_path).reproduced is None


@pytest.mark.parametrize("answers", ["reader", "agent"])
def test_a_baseline_is_played_again_whoever_answers(answers: str, tmp_path: Path) -> None:
    described = {**MINE, "name": "sentences", "spec": "sentences"}
    if answers == "agent":
        records = played(described=described, answer_mode="agent")
    else:
        records = _with_reader(described)
    assert checked(reread(records).archive(), tmp_path).reproduced


def test_a_name_of_two_agents_may_have_a_model(tmp_path: Path) -> None:
    model = {"model": "some-model"}
    described = {**MINE, "name": "closed_book", "spec": "closed_book", "model": model}
    found = checked(reread(played(described=described)).archive(), tmp_path)
    assert found.reproduced is None


def test_settings_of_the_method_are_reported(tmp_path: Path) -> None:
    records = played(view_recent=3, memory_budget=0.5, reader_options={"top_k": 2})
    found = checked(reread(records).archive(), tmp_path)
    assert found.settings == {
        "view_recent": 3,
        "memory_budget": 0.5,
        "reader_options": {"budget_tokens": 1_024, "top_k": 2},
    }
    assert found.memory_budget == 0.5


# ---------------------------------------------------------------------- tracks


def _echo(env: MemAlphaEnv) -> None:
    """Give the reader a model that repeats what it is shown."""
    chat, _ = scripted_chat(prompt_text)
    vars(env.reader)["chat"] = chat


def _with_reader(described: Mapping[str, Any] = MINE) -> list[dict[str, Any]]:
    options = {"model": "some-model"}
    return played(described=described, prepare=_echo, reader="llm", reader_options=options)


def test_answers_of_a_model_are_scored_anew(tmp_path: Path) -> None:
    found = checked(reread(_with_reader()).archive(), tmp_path)
    assert (found.track, found.reader, found.reader_model) == ("llm-reader", "llm", "some-model")
    assert found.usage["reader"]["calls"] == 6
    assert found.macro.mean == 0.5  # labels are wanted in a box


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("prediction", "I do not know.", r"answers\[0\].score: recorded 1.0, recomputed 0.0"),
        ("score", 0.5, r"answers\[0\].score: recorded 0.5, recomputed 1.0"),
        ("memory_ids", ["s99"], r"answers\[0\].memory_ids"),
    ],
)
def test_edited_answers_of_a_model_are_found(
    name: str, value: Any, reason: str, tmp_path: Path
) -> None:
    parts = reread(_with_reader())
    assert parts.records[0]["answers"][0]["score"] == 1.0
    parts.records[0]["answers"][0][name] = value
    with pytest.raises(RefusedError, match="differs when replayed") as refused:
        checked(parts.archive(), tmp_path)
    assert any(re.search(reason, told) for told in refused.value.reasons)


def test_a_reader_without_a_name_is_refused(tmp_path: Path) -> None:
    parts = reread(_with_reader())
    for record in parts.records:
        record["models"] = {}
    with pytest.raises(RefusedError, match="language model is not stated"):
        checked(parts.archive(), tmp_path)


class Telling(Sentences):
    """Answers with its whole memory."""

    name = "telling"

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        return "\n".join(self.briefing.memory.items("semantic").values())


def test_an_agent_may_answer_itself(tmp_path: Path) -> None:
    found = checked(reread(played(Telling(), answer_mode="agent")).archive(), tmp_path)
    assert (found.track, found.reader) == ("agent-answered", "agent")
    assert found.suspicious == ()
    assert found.macro.mean == 0.5  # labels are wanted in a box


# ---------------------------------------------------------------------- suspicions


class Told(Agent):
    """Has been told the answers, and writes them before it has read anything."""

    name = "told"
    privileged = True

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        assert self.briefing.episode is not None
        if info["chunk_index"]:
            return ()
        texts = [f"{q.question} {q.answers[0]}" for q in self.briefing.episode.questions]
        insert = {"name": "new_memory_insert"}
        return [
            {**insert, "arguments": {"memory_type": "semantic", "content": text}} for text in texts
        ]


def test_answers_written_before_they_are_read_are_reported(tmp_path: Path) -> None:
    found = checked(reread(played(Told())).archive(), tmp_path)
    assert found.abilities["accurate_retrieval"].mean == 1.0
    assert {place.kind for place in found.suspicious} == {"written"}
    told = {(place.episode, place.text) for place in found.suspicious}
    episodes = [load_episode(reference) for reference in resolve(SMALL).episodes]
    # Questions are never shown to a policy that does not answer; they stand in no chunk.
    asked = {(e.id, q.question) for e in episodes for q in e.questions if len(q.question) > 20}
    assert asked <= told
    later = [
        (episode.id, question.answers[0])
        for episode in episodes[:2]
        for question in episode.questions
        if question.answers[0] not in episode.chunks[0]
    ]
    assert later
    assert told >= set(later)
    assert all(place.step == 0 for place in found.suspicious)


class Knowing(Agent):
    """Keeps nothing and knows the answers all the same."""

    name = "knowing"
    privileged = True

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        return ()

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        assert self.briefing.episode is not None
        asked = str(observation["question"])
        found = [q for q in self.briefing.episode.questions if asked.endswith(q.question)]
        return found[0].answers[0]


def test_right_answers_without_a_memory_are_reported(tmp_path: Path) -> None:
    found = checked(reread(played(Knowing(), answer_mode="agent")).archive(), tmp_path)
    places = [place for place in found.suspicious if place.kind == "answered"]
    assert len(places) == 4  # the two labels are too short to tell
    assert {place.question for place in places} == {0, 1}


class Names(Agent):
    """Keeps what names somebody or something, and leaves the rest out, as an honest player may."""

    name = "names"

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        texts = split_sentences(observation["chunk"])
        return [insert("semantic", text) for text in texts if re.search(r"\w [A-Z]", text)]


def test_an_oracle_under_another_name_is_reported_by_its_choice(tmp_path: Path) -> None:
    found = checked(reread(played(Oracle(), played_suite=TELLING), TELLING).archive(), tmp_path)
    assert not found.privileged
    assert [place.kind for place in found.suspicious] == ["chosen"] * 2
    assert {place.episode for place in found.suspicious} == {item.id for item in found.episodes}
    for place in found.suspicious:
        assert re.fullmatch(r"(\d+) of \1 sentences with evidence, 0 of \d+ others", place.text)


def test_an_oracle_that_says_so_is_not_suspicious(tmp_path: Path) -> None:
    records = played(Oracle(), {**MINE, "privileged": True}, played_suite=TELLING)
    found = checked(reread(records, TELLING).archive(), tmp_path)
    assert found.privileged
    assert found.suspicious == ()


def test_what_is_chosen_without_the_questions_is_not_suspicious(tmp_path: Path) -> None:
    found = checked(reread(played(Names(), played_suite=TELLING), TELLING).archive(), tmp_path)
    assert found.macro.mean > 0.5
    assert found.memory_share < 0.9  # the oracle's is 0.1
    assert found.suspicious == ()


@pytest.mark.parametrize("size", [0, None, 7_000_000])
def test_who_says_that_there_is_no_model_made_no_calls_of_one(
    size: int | None, tmp_path: Path
) -> None:
    records = played()
    for record in records:
        record["usage"] = {"agent": {"calls": 3}}
    author = replace(AUTHOR, model_size=size)
    if size != 0:
        assert checked(pack(records, author, resolve(SMALL)), tmp_path).model_size == size
        return
    with pytest.raises(RefusedError, match=r"the model size is 0, .* made 9 calls of one: state"):
        pack(records, author, resolve(SMALL))
    parts = reread(played())
    parts.records[0]["usage"] = {"agent": {"calls": 1}}
    parts.manifest["totals"]["usage"] = {"agent": {"calls": 1}}
    with pytest.raises(RefusedError, match=r"the model size is 0, .* made 1 calls"):
        checked(parts.archive(), tmp_path)


# ---------------------------------------------------------------------- packing


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "has several: choose one with --agent: sentences, oracle"),
        ({"agent": "sentence"}, 'has no agent "sentence": did you mean "sentences"'),
        ({"agent": "sentences", "suite": "mini"}, 'has no suite "mini"'),
    ],
)
def test_what_to_pack_must_be_in_the_run(run: Path, options: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        pack_run(run, AUTHOR, suites=SUITES, **options)


def test_a_run_of_another_version_is_not_packed(run: Path) -> None:
    newer = Suite("small", "2", "for tests", SMALL.entries)
    with pytest.raises(UsageError, match="has the version 1, here it is 2"):
        pack_run(run, AUTHOR, agent="oracle", suites={"small": newer})
    fewer = Suite("small", "1", "for tests", SMALL.entries[:1])
    with pytest.raises(UsageError, match="other episodes, or data of another version"):
        pack_run(run, AUTHOR, agent="oracle", suites={"small": fewer})
    with pytest.raises(UsageError, match='this memgym has no suite "small"'):
        pack_run(run, AUTHOR, agent="oracle", suites={})


def test_a_part_of_a_suite_is_not_packed() -> None:
    records = played()
    with pytest.raises(RefusedError, match="1 of 3 episodes were not played"):
        pack(records[:2], AUTHOR, resolve(SMALL))
    with pytest.raises(RefusedError, match="was recorded twice"):
        pack([*records, records[0]], AUTHOR, resolve(SMALL))
    with pytest.raises(RefusedError, match="3 of 3 episodes were not played"):
        pack([], AUTHOR, resolve(SMALL))


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in"):
        pack_run(tmp_path, AUTHOR)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json is not JSON"):
        pack_run(tmp_path, AUTHOR)


@pytest.mark.parametrize(
    ("author", "reason"),
    [
        (replace(AUTHOR, name=""), "the name has 0 characters"),
        (replace(AUTHOR, contact="a\nb"), "control character"),
        (replace(AUTHOR, card="x" * 40_000), "at most 32,768"),
        (replace(AUTHOR, model_size=-1), "the model size must be"),
    ],
)
def test_what_an_author_says_is_checked_first(author: Author, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        pack_run(tmp_path, author)


# ---------------------------------------------------------------------- a process of its own


def test_a_fresh_process_comes_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "submission.zip"
    file.write_bytes(honest().archive())
    (tmp_path / "work").mkdir()
    here = check_submission(file, tmp_path / "work", suites=SUITES)
    assert verify(file, suites=SUITES) == here


def test_a_process_that_takes_too_much_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "submission.zip"
    file.write_bytes(honest().archive())
    with pytest.raises(RefusedError, match=r"replaying it (takes more than|broke off)"):
        verify(file, suites=SUITES, limits=Limits(memory_bytes=2**26))
    with pytest.raises(RefusedError, match=r"replaying it (takes more than 0 seconds|broke off)"):
        verify(file, suites=SUITES, limits=Limits(seconds=0))


def test_a_process_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-mine")
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    assert "secret-of-mine" not in isolated.environment("/tmp").values()


# ---------------------------------------------------------------------- commands


@pytest.fixture
def small_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands know the small suite."""
    monkeypatch.setattr(isolated, "verify", partial(verify, suites=SUITES))
    monkeypatch.setattr(packing, "pack_run", partial(pack_run, suites=SUITES))


@pytest.mark.usefixtures("small_suites")
def test_submit_and_verify(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, card = tmp_path / "mine.zip", tmp_path / "CARD.md"
    card.write_text("# Mine\n")
    words = ["--name", "[bold]Mine", "--contact", "me@example.org", "--model-size", "4B"]
    submit = ["submit", str(run), *words, "--model-card", str(card), "--out", str(out)]
    assert main([*submit, "--agent", "sentences"]) == 0
    printed = capsys.readouterr().out
    assert "VERIFIED: [bold]Mine (sentences), me@example.org" in printed
    assert "chose the same actions again" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CARD.md", "mine.zip"]
    assert main(["verify", str(out), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verdict"] == "verified"
    assert (verdict["model_size"], verdict["card"]) == (4_000_000_000, "# Mine\n")


@pytest.mark.usefixtures("small_suites")
def test_a_refusal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, parts = tmp_path / "bad.zip", honest()
    parts.records[0]["answers"][0]["prediction"] = "\x1b[2J"
    file.write_bytes(parts.archive())
    assert main(["verify", str(file)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith('REFUSED: episode "procedural/')
    assert "answers[0].prediction: recorded" in printed
    assert "\x1b" not in printed
    assert main(["verify", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "refused"


def test_what_the_user_got_wrong_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "nothing.zip")]) == 2
    assert "no file" in capsys.readouterr().err
    words = ["--name", "Mine", "--contact", "me@example.org"]
    (tmp_path / "file").write_text("not a folder")
    taken = str(tmp_path / "file" / "mine.zip")
    assert main(["submit", str(run), "--agent", "oracle", *words, "--out", taken]) == 2
    assert "File exists" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["submit", str(run), *words, "--out", "x", "--model-size", "big"])
    assert "no model size; write 4B" in capsys.readouterr().err


# ---------------------------------------------------------------------- documentation


def blocks(language: str) -> list[str]:
    page = Path(__file__).parent.parent / "docs" / "submitting.md"
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page_are_commands(run: Path, tmp_path: Path) -> None:
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines]
    assert [words[1] for words in commands] == ["bench", "submit", "verify", "submit"]
    for words in commands:
        assert parser().parse_args(words[1:]).run


def test_the_code_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "submitting.md", "exec"), names)
    file = tmp_path / "mine.zip"
    file.write_bytes(b"hello")
    assert names["score_of"](str(file)) is None
    assert "no whole zip archive" in capsys.readouterr().out
