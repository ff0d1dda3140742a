"""Behaviour of ``memgym agents``: what is listed, and that prompts are shown as they are sent."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from memgym.agents import AGENTS
from memgym.agents.chat import MODEL_PRESETS
from memgym.baselines import BASELINES
from memgym.cli.main import main
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import environment_for, play_episode
from tests.episodes import village
from tests.scripted import scripted_chat

OWN = '''\
from memgym.agents.llm_agent import LLMAgent

class Polite(LLMAgent):
    """Thanks for every chunk.

    It keeps nothing.
    """

    name = "polite"
    settings = {"core_capacity": 7}
    reader_settings = {"llm": {"top_k": 9}}
    prompts = {"thanks": "Thank {whom}."}

    def __init__(self, chat, whom="the author", *, times=1):
        super().__init__(chat)
        self.whom = whom

    def act(self, observation, info):
        asked = {"role": "user", "content": observation["chunk"]}
        told = {"role": "system", "content": self.prompts["thanks"].format(whom=self.whom)}
        reply = self.chat.ask([told, asked], prefill="Thank", choices=("you", "them"))
        assert reply.text == "them"
        return ()

class Needy(Polite):
    """Must be told whom to thank."""

    name = "needy"

    def __init__(self, chat, whom):
        super().__init__(chat, whom)

class Silent(Polite):
    name = "silent"
    __doc__ = None
    settings = reader_settings = prompts = {}

    def act(self, observation, info):
        return ()
'''


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["agents", *arguments]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the titles, which are underlined, with what stands below each."""
    parts = re.split(r"^(.+)\n-{3,}\n", text, flags=re.MULTILINE)
    yield from zip(parts[1::2], (body.strip("\n") for body in parts[2::2]), strict=True)


def test_list_names_every_agent_with_and_without_a_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = re.findall(r"^ (\S+) +(yes|no) +(\S.*)$", shown(capsys, "list"), re.MULTILINE)
    assert [(name, model) for name, model, _ in rows] == [
        *((name, "no") for name in BASELINES),
        *((name, "yes") for name in AGENTS),
    ]
    assert {"closed_book"} <= set(BASELINES) & set(AGENTS)


def test_list_tells_what_belongs_to_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "list").split())
    assert 'reader_options={"top_k": 2}' in text  # chunks
    assert "core_capacity=1024" in text  # mem1, memagent


@pytest.mark.parametrize("name", AGENTS)
def test_show_holds_every_prompt_word_for_word(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = AGENTS[name]
    text = shown(capsys, "show", name)
    found = dict(sections(text))
    assert f"{name} (with a language model)" in found
    prompts = {**agent.prompts, **agent.answer_prompts}
    for role, prompt in prompts.items():
        assert prompt.strip("\n") in text
        assert f"Prompt: {role}" in found


def test_show_has_the_requests_as_they_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    parts = dict(sections(shown(capsys, "show", "prompt_only")))
    sent = [body for title, body in parts.items() if title.startswith("As sent")]
    assert len(sent) == 2  # one chunk, one question
    chat, backend = scripted_chat(lambda request: "")
    made = AGENTS["prompt_only"](chat)
    play_episode(made, environment_for(made), village())
    system = str(backend.requests[0].messages[0]["content"])
    assert "new_memory_insert(memory_type, content)" in system
    assert sent[0].startswith(f"[system]\n{system}\n[user]\n")
    assert "On 3 May 2031 Ada Holm opened a bakery in Lund." in sent[0]
    assert sent[1].endswith("Question: Where did Ada Holm open a bakery?")


def test_show_one_name_for_two_agents(capsys: pytest.CaptureFixture[str]) -> None:
    titles = dict(sections(shown(capsys, "show", "closed_book")))
    assert next(iter(titles)) == "closed_book (without a language model)"
    assert "closed_book (with a language model)" in titles


def test_show_a_baseline_has_no_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    found = dict(sections(shown(capsys, "show", "chunks")))
    assert list(found) == [
        "chunks (without a language model)",
        "Environment settings that belong to it",
    ]
    assert found["Environment settings that belong to it"] == '  reader_options = {"top_k": 2}'


def test_show_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("polite_agents.py").write_text(OWN, encoding="utf-8")
    found = dict(sections(shown(capsys, "show", "polite_agents:Polite")))
    head, options, settings, reader, thanks, answering, first, last = found.items()
    assert head == (
        "polite (with a language model)",
        "Thanks for every chunk.\n\nIt keeps nothing.",
    )
    assert options[1] == "  whom = the author\n  times = 1"
    assert settings[1] == "  core_capacity = 7"
    assert reader[1] == '  llm: {"top_k": 9}'
    assert thanks == ("Prompt: thanks", "Thank {whom}.")
    assert answering[0] == "Prompt: answering (answer_mode=agent)"
    assert first[1] == (
        "[system]\nThank the author.\n[user]\nOn 3 May 2031 Ada Holm opened a bakery in Lund.\n"
        '[beginning of the reply]\nThank\n[choices]\n["you", "them"]'
    )
    assert last[0].startswith("As sent, request 2")
    needy = dict(sections(shown(capsys, "show", "polite_agents:Needy")))
    assert needy["Options (with their defaults)"] == "  whom = (must be given)"
    assert not any(title.startswith("As sent") for title in needy)
    silent = dict(sections(shown(capsys, "show", "polite_agents:Silent")))
    assert next(iter(silent.values())) == "(its class has no docstring)"


def test_nothing_of_the_network_is_touched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr("memgym.agents.chat.chat.open_backend", _refuse)
    for name in AGENTS:
        assert "As sent, request 1" in shown(capsys, "show", name), "it was played without a model"


def _refuse(settings: object) -> MemAlphaEnv:
    raise AssertionError("show must not open a model")


def test_models_are_listed_with_their_sampling(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "models")
    for preset, fields in MODEL_PRESETS.items():
        assert re.search(rf"^ {preset} +{re.escape(str(fields['model']))} ", text, re.MULTILINE)
    row = " ".join(text.partition("memagent-7b")[2].partition("memagent-14b")[0].split())
    assert "temperature 0.1, top_p 0.95" in row
    assert "replies of at most 1,024 tokens" in row
    assert "enable_thinking=false" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "prompt_onyl"], 'unknown agent "prompt_onyl": did you mean "prompt_only"?'),
        (["show", "nowhere_at_all:Mine"], 'agent "nowhere_at_all:Mine": cannot import'),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agents", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"memgym: error: {message}")
    assert error.count("\n") == 1


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["agents"])
    assert ended.value.code == 2
    assert "the following arguments are required: COMMAND" in capsys.readouterr().err
