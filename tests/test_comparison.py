"""Behaviour of comparison files: what they come to, and how every mistake in one is told."""

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memgym.agents.chat import ModelSettings, model_settings
from memgym.benchmarks.amounts import memory_budget, memory_budget_text, token_limit
from memgym.benchmarks.comparison import Comparison, read_comparison
from memgym.benchmarks.plan import make_plan
from memgym.benchmarks.suites import Suite, resolve
from memgym.errors import UsageError
from tests.runs import FACTS

AGENT = """\
from memgym.agents.llm_agent import LLMAgent

class Mine(LLMAgent):
    name = "mine"

    def __init__(self, chat, top_k=3):
        super().__init__(chat)
        self.top_k = top_k

    def act(self, observation, info):
        return ()
"""

WHOLE = """\
suites = ["mini"]
data = "texts"
seed = 3
preset = "paper"
memory_budget = "25%"
answer_mode = "reader"
concurrency = 32
limit_tokens = "2M"

[settings]
view_recent = 4

[reader]
name = "verbatim"
top_k = 2

[models.small]
model = "qwen3-4b"
base_url = "http://localhost:8000/v1"
temperature = 0.5

[[agents]]
agent = "comparison_agents:Mine"
model = "small"
name = "mine 4B"
options = { top_k = 5 }

[[agents]]
agent = "sentences"
"""

Write = Callable[[str, str], Path]


@pytest.fixture(name="write")
def _write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a comparison file into the current, empty folder with an agent module in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("MEMGYM_MODEL", "MEMGYM_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "comparison_agents.py").write_text(AGENT, encoding="utf-8")

    def write(text: str, name: str) -> Path:
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return write


@pytest.fixture(autouse=True)
def _forget_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "comparison_agents", raising=False)


def read(write: Write, text: str, name: str = "compare.toml", **given: Any) -> Comparison:
    return read_comparison(write(text, name), **given)


def fault(write: Write, text: str, name: str = "compare.toml") -> str:
    """Return what is said about a wrong file, without its name in front."""
    with pytest.raises(UsageError) as caught:
        read(write, text, name)
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    return message.removeprefix(name).lstrip(":, ")


def test_everything_that_a_file_can_say(write: Write) -> None:
    found = read(write, WHOLE)
    assert found.suites == ("mini",)
    assert found.data == "texts"
    assert (found.seed, found.preset, found.concurrency) == (3, "paper", 32)
    assert found.limit_tokens == 2_000_000
    assert found.settings == {
        "view_recent": 4,
        "memory_budget": 0.25,
        "answer_mode": "reader",
        "reader": "verbatim",
        "reader_options": {"top_k": 2},
    }
    mine, sentences = found.agents
    assert (mine.spec, mine.name, mine.options) == (
        "comparison_agents:Mine",
        "mine 4B",
        {"top_k": 5},
    )
    assert mine.model == model_settings(
        "qwen3-4b", base_url="http://localhost:8000/v1", temperature=0.5
    )
    assert mine.model is not None
    assert mine.model.model == "Qwen/Qwen3-4B"
    assert mine.model.template_options == {"enable_thinking": False}
    assert (sentences.name, sentences.model) == ("sentences", None)


def test_yaml_says_the_same(write: Write) -> None:
    text = """\
suites: [mini]
data: texts
seed: 3
preset: paper
memory_budget: 25%
answer_mode: reader
concurrency: 32
limit_tokens: 2M
settings: {view_recent: 4}
reader: {name: verbatim, top_k: 2}
models:
  small: &small
    model: qwen3-4b
    base_url: http://localhost:8000/v1
    temperature: 0.5
  other:
    <<: *small
    temperature: 0.7
agents:
  - agent: comparison_agents:Mine
    model: small
    name: mine 4B
    options: {top_k: 5}
  - sentences
"""
    yaml, toml = read(write, text, "a.yaml"), read(write, WHOLE)
    assert yaml == read(write, text, "a.yml")
    assert list(yaml.models) == ["small", "other"]
    assert replace(yaml, models=toml.models) == toml
    warm = read(write, text.replace("model: small", "model: other"), "a.yaml").agents[0].model
    assert warm == model_settings("qwen3-4b", base_url="http://localhost:8000/v1", temperature=0.7)


def test_what_is_left_out_is_left_open(write: Write) -> None:
    found = read(write, 'agents = ["sentences", "flat"]')
    assert [entry.name for entry in found.agents] == ["sentences", "flat"]
    assert found == Comparison(found.agents, {})


def test_the_file_makes_a_plan(write: Write) -> None:
    found = read(write, 'memory_budget = 400\nagents = ["flat", { agent = "chunks", name = "c" }]')
    tiny = resolve(Suite("tiny", "1", "for tests", (FACTS,)))
    plan = make_plan([tiny], found.agents, settings=found.settings)
    assert [entry["name"] for entry in plan.description()["agents"]] == ["flat", "c"]
    assert plan.settings["memory_budget"] == 400


def test_default_model_is_for_those_that_have_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'model = "tiny"\nagents = ["comparison_agents:Mine", "sentences"]'
    mine, sentences = read(write, text).agents
    assert mine.model == ModelSettings("tiny")
    assert sentences.model is None
    flag = {"model": "flag"}
    assert read(write, text, model=flag).agents[0].model == ModelSettings("flag")
    monkeypatch.setenv("MEMGYM_MODEL", "from-environment")
    open_ = read(write, 'agents = ["comparison_agents:Mine"]').agents[0].model
    assert open_ == ModelSettings("from-environment")


def test_one_name_for_an_agent_with_and_one_without_a_model(write: Write) -> None:
    plain = read(write, 'agents = ["closed_book"]').agents[0]
    assert plain.model is None
    rows = 'agents = ["closed_book", { agent = "closed_book", model = "", name = "b" }]'
    both = read(write, 'model = "tiny"\n' + rows).agents
    assert [entry.has_model for entry in both] == [True, False]


def test_rows_of_one_agent_are_told_apart(write: Write) -> None:
    row = '[[agents]]\nagent = "comparison_agents:Mine"\nmodel = "{}"\n'
    names = [entry.name for entry in read(write, row.format("a") + row.format("b")).agents]
    assert names == ["mine (a)", "mine (b)"]
    assert 'both called "mine (a)" in tables' in fault(write, row.format("a") * 2)


def test_reader_and_judge_may_name_a_model_of_the_file(write: Write) -> None:
    text = """\
agents = ["sentences"]

[models.big]
model = "qwen3-32b"
base_url = "http://localhost:8001/v1"
temperature = 0.9
concurrency = 8

[reader]
name = "verbatim"
model = "big"
top_k = 4
model_options = { max_retries = 2 }

[settings.answer_judge_options]
model = "big"
"""
    located = {"model": "qwen3-32b", "base_url": "http://localhost:8001/v1"}
    found = read(write, text).settings
    assert found["reader_options"] == {
        **located,
        "top_k": 4,
        "model_options": {"concurrency": 8, "max_retries": 2},
    }
    assert found["answer_judge_options"] == {**located, "model_options": {"concurrency": 8}}
    elsewhere = text.replace("top_k = 4", 'base_url = "http://localhost:8002/v1"')
    options = read(write, elsewhere).settings["reader_options"]
    assert options["base_url"] == "http://localhost:8002/v1"
    message = fault(write, text.replace('model = "big"\ntop_k', 'model = "bigg"\ntop_k'))
    assert message.startswith('reader.model: there is no "bigg" in [models]')


def test_reader_by_name_alone(write: Write) -> None:
    assert read(write, 'reader = "verbatim"\nagents = ["flat"]').settings == {"reader": "verbatim"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('agents = ["flat"]\nsuite = ["mini"]', 'unknown key "suite": did you mean "suites"?'),
        ("seed = 1", '"agents" is missing, a list of names'),
        ("agents = []", "agents: must be a list of names, got []"),
        ('agents = "flat"', "agents: must be a list of names, got 'flat'"),
        ("agents = [3]", "agents[0]: must be a table of keys, got 3"),
        ('agents = ["falt"]', 'agents[0]: unknown agent "falt": did you mean "flat"?'),
        ("[[agents]]\nagnet = 'flat'", 'agents[0]: unknown key "agnet": did you mean "agent"?'),
        ("[[agents]]\nname = 'flat'", 'agents[0]: "agent" is missing'),
        ("[[agents]]\nagent = 'flat'\nname = 3", "agents[0].name: must be a text, got 3"),
        ("[[agents]]\nagent = 'flat'\nname = \"a\\nb\"", "agents[0].name: must be one line"),
        ("[[agents]]\nagent = 'flat'\noptions = 3", "agents[0].options: must be a table"),
        ("[[agents]]\nagent = 'flat'\noptions = { k = 1 }", 'agents: agent "flat" has no option'),
        ("[[agents]]\nagent = 'flat'\nmodel = 'm'", 'agents[0]: "flat" has no language model'),
        ('agents = ["nowhere_at_all:Mine"]', 'agents[0]: agent "nowhere_at_all:Mine": cannot'),
        ('agents = ["comparison_agents:Mine"]', "agents[0]: no model is named"),
        ('model = ""\nagents = ["comparison_agents:Mine"]', "agents[0]: no model is named"),
        ("[models.a]\ntop_q = 1\n", 'models.a: unknown key "top_q": did you mean "top_p"'),
        ("agents = ['flat']\n[models.a]\ntop_p = 1.0", 'models.a: "model" is missing'),
        ("agents = ['flat']\n[models.a]\nmodel='m'\ntop_p = 7.0", 'models.a: model setting "top_'),
        ("agents = ['flat']\n[models]\na = 'm'", "models.a: must be a table of keys, got 'm'"),
        ("agents = ['flat']\nmodels = 3", "models: must be a table of keys, got 3"),
        ("agents = ['flat']\nseed = -1", "seed: must be a whole number from 0, got -1"),
        ("agents = ['flat']\nseed = true", "seed: must be a whole number from 0, got True"),
        ("agents = ['flat']\nconcurrency = 0", "concurrency: must be a whole number from 1"),
        ("agents = ['flat']\nlimit_tokens = 'two'", 'limit_tokens: "two" is no number of tokens'),
        ("agents = ['flat']\nlimit_tokens = 2.5", "limit_tokens: must be a whole number from 0"),
        ("agents = ['flat']\nmemory_budget = 'all'", 'memory_budget: "all" is no memory budget'),
        ("agents = ['flat']\nmemory_budget = 900.0", "settings: memory_budget 900.0 is no"),
        ("agents = ['flat']\nanswer_mode = 'me'", 'settings: answer_mode: unknown value "me"'),
        ("agents = ['flat']\npreset = 'papper'", 'preset: unknown preset "papper": did you mean'),
        ("agents = ['flat']\nsuites = ['mni']", 'suites: unknown suite "mni": did you mean "mini"'),
        ("agents = ['flat']\nsuites = 'mini'", "suites: must be a list of names, got 'mini'"),
        ("agents = ['flat']\nreader = 3", "reader: must be a table of keys, got 3"),
        ("agents = ['flat']\n[reader]\ntop_k = 3", 'reader: "name" is missing'),
        ("agents = ['flat']\n[settings]\nview = 3", 'settings: MemAlpha has no setting "view"'),
        (
            "agents = ['flat']\n[settings]\nreader = 'verbatim'",
            "settings.reader: write it as the table [reader]",
        ),
        ("agents = ['flat']\nseed = nan", "seed: must be a finite number, got nan"),
        ("agents = ['flat']\nseed = 2031-05-03", "seed: a date has no use here"),
        ("agents = ['flat']\nseed = = 3", "line 2: Invalid value"),
        ("agents = ['flat']\nseed = 3\nseed = 4", "line 3: Cannot overwrite a value"),
        ("agents = ['flat']\nseed = " + 5_000 * "9", "line 2: Exceeds the limit"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_place(write: Write, text: str, message: str) -> None:
    assert fault(write, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents: [flat]\nseed: 1\nseed: 2\n", 'line 3: "seed" stands in line 2 already'),
        (
            "agents: [flat]\nmodels:\n  a: {model: m}\n  a: {model: n}\n",
            'line 4: "a" stands in line 3 already',
        ),
        ("agents:\n  - {agent: flat, name: a, name: b}\n", 'line 2: "name" stands in line 2'),
        ("agents: [flat\nseed: 1\n", "line 2:"),
        ("agents: [flat]\n? [1]\n: 2\n", "line 2: a key must be a text"),
        ("agents: [flat]\n1: 2\n", "a key must be a text, got 1"),
        ("agents: &a [*a]\n", "line 1: what stands here contains itself"),
        ("agents: [flat]\nseed: !!python/name:os.system x\n", "line 2: could not determine a con"),
        ("agents: [flat]\nseed: 2031-05-03\n", "seed: a date has no use here"),
        ("agents: [flat]\nseed: 2031-50-03\n", "month must be in 1..12"),
        ("- flat\n", "must be a table of keys, got ['flat']"),
        ("", '"agents" is missing'),
    ],
)
def test_every_mistake_in_yaml_is_told_with_its_place(
    write: Write, text: str, message: str
) -> None:
    assert fault(write, text, "a.yaml").startswith(message)


def test_a_misspelt_model_of_the_file_is_not_taken_for_a_models_name(write: Write) -> None:
    text = '[models.small]\nmodel = "m"\n[[agents]]\nagent = "comparison_agents:Mine"\nmodel = "{}"'
    assert 'agents[0].model: there is no "smal" in [models]; did you mean "small"?' in fault(
        write, text.format("smal")
    )
    assert read(write, text.format("Org/other-model")).agents[0].model == ModelSettings(
        "Org/other-model"
    )


SECRET = "sk-4242424242"


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{SECRET}"\nagents = ["flat"]',
        f'agents = ["flat"]\n[models.a]\nmodel = "m"\nAPI-Key = "{SECRET}"',
        f'agents = ["flat"]\n[models.a]\nmodel = "m"\nkey_variable = "{SECRET}"',
        f'agents = ["flat"]\n[models.a]\nmodel = "m"\nbase_url = "http://me:{SECRET}@host/v1"',
        f'agents = ["flat"]\n[models.a]\nmodel = "m"\nengine_options = {{ hf_token = "{SECRET}" }}',
        f'agents = ["flat"]\n[reader]\nname = "llm"\nopenai_api_key = "{SECRET}"',
        f'[[agents]]\nagent = "flat"\noptions = {{ list = [{{ password = "{SECRET}" }}] }}',
        f'agents = ["flat"]\n[settings]\ntoken = "{SECRET}"',
    ],
)
def test_a_key_in_a_file_is_refused_and_not_repeated(write: Write, text: str) -> None:
    message = fault(write, text)
    assert "a key never stands in a file" in message
    assert SECRET not in message


def test_what_only_sounds_like_a_key_is_fine(write: Write) -> None:
    found = read(
        write,
        'agents = ["comparison_agents:Mine"]\nmodel = "a"\nlimit_tokens = 5\n'
        '[settings]\ntoken_counter = "o200k_base"\n'
        '[models.a]\nmodel = "m"\nmax_tokens = 9\nkey_variable = "MY_KEY"\n',
    )
    assert found.agents[0].model == ModelSettings("m", max_tokens=9, key_variable="MY_KEY")


def test_files_that_cannot_be_read(write: Write) -> None:
    with pytest.raises(UsageError, match=r"^none\.toml: cannot be read: No such file"):
        read_comparison("none.toml")
    with pytest.raises(UsageError, match=r"^a\.ini: a comparison is a file that ends in \.toml"):
        read(write, "{}", "a.ini")
    Path("b.toml").write_bytes(b"seed = 1\ndata = '\xff'\n")
    with pytest.raises(UsageError, match=r"^b\.toml, line 2: not UTF-8 text"):
        read_comparison("b.toml")
    Path("c.toml").write_bytes(b"\xef\xbb\xbfagents = ['flat']\r\n")
    assert read_comparison("c.toml").agents[0].name == "flat"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("500k", 500_000), ("2M", 2_000_000), ("1_000_000", 1_000_000), ("0", 0), ("1.5m", 1_500_000),
     (" 3 B ", 3_000_000_000), ("0.1k", 100), ("4.35k", 4_350)],
)  # fmt: skip
def test_token_limit(text: str, tokens: int) -> None:
    assert token_limit(text) == tokens


@pytest.mark.parametrize("text", ["", "M", "-1", "2MM", "1.5", "1e6", "٣", "1__0", "_1", "0.0001k"])
def test_no_token_limit(text: str) -> None:
    with pytest.raises(UsageError, match="is no number of tokens; write 500k, 2M"):
        token_limit(text)


@pytest.mark.parametrize("budget", [0.25, 0.125, 1.0, 1, 60, 100, 101, 2_000])
def test_a_memory_budget_is_read_as_it_is_written(budget: float) -> None:
    found = memory_budget(memory_budget_text(budget))
    assert (type(found), found) == (type(budget), budget)


@pytest.mark.parametrize("text", ["25", "1", "100"])
def test_a_budget_that_may_lack_its_sign_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf'write "{text}%" of the text or "{text} tokens"'):
        memory_budget(text)


def test_memory_budget() -> None:
    assert memory_budget("25%") == 0.25
    assert memory_budget("12.5 %") == 0.125
    tokens = memory_budget("2000")
    assert tokens == 2000
    assert isinstance(tokens, int)
    for text in ("0", "0%", "-3", "0.25", "many", ""):
        with pytest.raises(UsageError, match=re.escape(f'"{text}" is no memory budget')):
            memory_budget(text)


@given(text=st.text(alphabet="agents=[]\"'flt{}:-&*<>?!#,.|\n 01", max_size=60))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", ["f.toml", "f.yaml"])
def test_any_text_is_read_or_refused_in_one_line(write: Write, name: str, text: str) -> None:
    file = write(text, name)
    with contextlib.suppress(UsageError):
        read_comparison(file)
        return
    assert fault(write, text, name)
