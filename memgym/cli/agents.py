"""``memgym agents``: who can play: the methods, their prompts as they are sent, model presets."""

import argparse
import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from memgym.cli.options import Commands

if TYPE_CHECKING:
    from memgym.agent import Agent
    from memgym.agents.chat import ChatError, ChatReply, ChatRequest
    from memgym.agents.llm_agent import LLMAgent

__all__ = ["add_parser"]

_EPILOG = """\
examples:
  memgym agents list                     every agent, with and without a language model
  memgym agents show mem1                what it does, its options, its prompts
  memgym agents show my_module:MyAgent   the same of your own
  memgym agents models                   presets for --model
"""

_NEEDED = "(must be given)"
# The shortest episode that makes an agent send every kind of request it sends to a silent model.
_CHUNK = "On 3 May 2031 Ada Holm opened a bakery in Lund."
_QUESTION = "Where did Ada Holm open a bakery?"


def add_parser(commands: Commands) -> None:
    """Add the command, with its own subcommands, to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "agents",
        help="list agents, show their prompts and options, list model presets",
        description="List agents, show their prompts and options, list model presets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=type(parser)
    )
    actions.add_parser("list", help="every agent in one line").set_defaults(run=_list)
    show = actions.add_parser("show", help="one agent: what it does, options, settings, prompts")
    show.add_argument("agent", metavar="NAME", help="a name, or package.module:Class")
    show.set_defaults(run=_show)
    actions.add_parser("models", help="presets of published models").set_defaults(run=_models)


def _list(arguments: argparse.Namespace) -> int:
    from memgym.agents import AGENTS
    from memgym.baselines import BASELINES
    from memgym.cli.progress import output_console
    from memgym.cli.tables import print_table

    rows = [
        (name, model, inspect.cleandoc(agent.__doc__ or "").partition("\n")[0], _own(agent))
        for model, table in (("no", BASELINES), ("yes", AGENTS))
        for name, agent in table.items()
    ]
    columns = ("name", "model", "what it does", "settings of its own")
    print_table(output_console(), "Agents", columns, rows)
    return 0


def _own(agent: "type[Agent]") -> str:
    """Return the environment and reader settings that belong to an agent, in one line."""
    settings = [f"{name}={_plain(value)}" for name, value in agent.settings.items()]
    for reader, options in agent.reader_settings.items():
        given = ", ".join(f"{name}={_plain(value)}" for name, value in options.items())
        settings.append(f"reader {reader}: {given}")
    return "; ".join(settings)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _models(arguments: argparse.Namespace) -> int:
    from memgym.agents.chat import MODEL_PRESETS, model_settings
    from memgym.cli.progress import output_console
    from memgym.cli.tables import print_table

    rows = []
    for preset in MODEL_PRESETS:
        chosen = model_settings(preset)
        sampling = f"temperature {chosen.temperature:g}, top_p {chosen.top_p:g}"
        limit = f"replies of at most {chosen.max_tokens:,} tokens"
        template = (f"{name}={_plain(value)}" for name, value in chosen.template_options.items())
        calls = ", ".join((f"tool calls: {chosen.tool_format}", *template))
        rows.append((preset, chosen.model, f"{sampling}\n{limit}\n{calls}"))
    columns = ("id", "name", "how it is asked")
    print_table(output_console(), "Model presets", columns, rows)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    for agent in _named(arguments.agent):
        for line in _description(agent):
            print(line)
    return 0


def _named(spec: str) -> "list[type[Agent]]":
    """Return the classes of a name: two if there is one with and one without a model."""
    from memgym.agents import AGENTS
    from memgym.baselines import BASELINES
    from memgym.benchmarks.agents import load_agent

    found: list[type[Agent]] = [table[spec] for table in (BASELINES, AGENTS) if spec in table]
    return found or [load_agent(spec, with_model=True)]


def _description(agent: "type[Agent]") -> Iterator[str]:
    from memgym.agents.llm_agent import LLMAgent

    with_model = issubclass(agent, LLMAgent)
    yield from _section(f"{agent.name} ({'with' if with_model else 'without'} a language model)")
    yield inspect.cleandoc(agent.__doc__ or "(its class has no docstring)")
    options = [f"{name} = {default}" for name, default in _options(agent)]
    yield from _listed("Options (with their defaults)", options)
    settings = [f"{name} = {_plain(value)}" for name, value in agent.settings.items()]
    yield from _listed("Environment settings that belong to it", settings)
    readers = [f"{name}: {_plain(dict(given))}" for name, given in agent.reader_settings.items()]
    yield from _listed("Reader settings that belong to it", readers)
    if issubclass(agent, LLMAgent):
        for role, text in {**agent.prompts, **agent.answer_prompts}.items():
            yield from _section(f"Prompt: {role}")
            yield text
        yield from _example(agent)
    yield ""


def _options(agent: "type[Agent]") -> Iterator[tuple[str, str]]:
    """Yield the constructor's options with their defaults."""
    for name, parameter in inspect.signature(agent).parameters.items():
        if name != "chat" and parameter.kind is not parameter.VAR_KEYWORD:
            needed = parameter.default is parameter.empty
            yield name, _NEEDED if needed else _plain(parameter.default)


def _section(title: str) -> Iterable[str]:
    return ("", title, "-" * len(title))


def _listed(title: str, lines: Sequence[str]) -> Iterable[str]:
    return (*_section(title), *(f"  {line}" for line in lines)) if lines else ()


class _Recorder:
    """Stands in for a model: keeps what it is asked and says as little as it may."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    def generate(self, requests: "Sequence[ChatRequest]") -> "list[ChatReply | ChatError]":
        """Return empty replies; where there are choices, the last, which does the most."""
        from memgym.agents.chat import ChatReply

        # An agent may ask again when it gets nothing; that shows nothing new.
        self.requests += [request for request in requests if request not in self.requests]
        return [ChatReply(("", *request.choices)[-1]) for request in requests]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def _example(agent: "type[LLMAgent]") -> Iterator[str]:
    """Yield what the agent sends for one chunk and one question, word for word."""
    from memgym.agents.chat import Chat, ModelSettings
    from memgym.episode import Episode, Question
    from memgym.evaluation import environment_for, play_episode

    if any(default == _NEEDED for _, default in _options(agent)):
        return
    question = Question(_QUESTION, ("Lund",))
    episode = Episode("example/0", "example", "accurate_retrieval", (_CHUNK,), (question,))
    recorder = _Recorder()
    made = agent(Chat(ModelSettings("example"), recorder))
    play_episode(made, environment_for(made, answer_mode="agent"), episode)
    for number, request in enumerate(recorder.requests, 1):
        yield from _section(f"As sent, request {number} (an example of one chunk, one question)")
        yield from _request(request)


def _request(request: "ChatRequest") -> Iterator[str]:
    for message in request.messages:
        yield f"[{message['role']}]"
        yield str(message.get("content") or "")
        if message.get("tool_calls"):
            yield _plain(message["tool_calls"])
    if request.prefill:
        yield f"[beginning of the reply]\n{request.prefill}"
    given = {"tools": request.tools, "choices": request.choices, "stop": request.stop}
    for name, value in given.items():
        if value:
            yield f"[{name}]\n{_plain(value)}"
