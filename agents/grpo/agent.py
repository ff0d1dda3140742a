"""What ``memgym train`` has trained, as an agent: ``grpo:folder``, and ``memalpha-tiny``.

It is ``prompt_only`` with the prompt of its training. Not here: the learner.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from memgym.agent import Briefing
from memgym.agents.chat import Chat, ChatReply, ContextLengthError, Message, RefusedError
from memgym.agents.chat.models import ModelSettings
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.manifest import FILE, read_manifest
from memgym.agents.prompt_only import PromptOnly
from memgym.agents.writing import reply_action
from memgym.envs.settings import make_settings
from memgym.envs.view import render_memory
from memgym.errors import UsageError
from memgym.text import split_sentences
from memgym.tokens import TokenCounter

__all__ = ["SHIPPED", "TrainedWriter", "in_pieces", "model_folder", "trained_model"]

SHIPPED: Mapping[str, Path] = {
    file.parent.name: file.parent
    for file in sorted((Path(__file__).parent / "checkpoints").glob(f"*/{FILE}"))
}
"""Trained policies that come with memgym, by name: what lies in ``checkpoints/``."""

_LONGER = 1.5  # times the chunks of its training, and a chunk is read in pieces


class TrainedWriter(PromptOnly):
    """Writes its memory as it was trained to.

    Chunks that are much longer than those it was trained on are read in pieces of that size, each
    beside the memory as it was before the chunk.

    Args:
        chat: The line to its model, see :func:`trained_model`.
        folder: Where that lies.

    Raises:
        UsageError: the folder holds no trained model.
    """

    name: ClassVar[str] = "grpo"

    def __init__(self, chat: Chat, folder: str) -> None:
        manifest = read_manifest(Path(folder))
        super().__init__(chat, manifest.prompt.instructions)
        self.settings = manifest.environment  # type: ignore[misc]  # of this model
        self._piece_tokens = manifest.chunk_tokens
        self._shown = make_settings("default", manifest.environment)

    @classmethod
    def load(cls, folder: str | Path) -> "TrainedWriter":
        """Return the agent of a run's folder, of a model's folder, or of a name that is shipped.

        Raises:
            UsageError: there is none.
        """
        found = model_folder(str(folder))
        return cls(Chat(trained_model(found)), str(found))

    def reset(self, briefing: Briefing) -> None:
        """Begin an episode."""
        super().reset(briefing)
        self._counter: TokenCounter = briefing.counter

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Return the model's reply to the chunk, or its replies to all pieces of it."""
        chunk = observation["chunk"]
        limit = self._piece_tokens
        if not chunk or not limit or self._counter.count(chunk) <= limit * _LONGER:
            return super().act(observation, info)
        pieces = in_pieces(chunk, limit, self._counter)
        requests = [
            self.chat.request(self._prompt(piece, info, number), tools=self._writing.tools)
            for number, piece in enumerate(pieces)
        ]
        replies = []
        for result in self.chat.generate(requests):
            if isinstance(result, ChatReply):
                replies.append(result)
            elif not isinstance(result, ContextLengthError | RefusedError):
                raise result  # those two are counted, and nothing is written of that piece
        return _joined(replies)

    def _prompt(self, piece: str, info: Mapping[str, Any], number: int) -> Sequence[Message]:
        shown = self._shown
        view = render_memory(
            self.briefing.memory,
            piece,
            recent=shown.view_recent,
            relevant=shown.view_relevant,
            item_characters=shown.view_item_characters,
            max_characters=shown.max_text_characters,
        )
        told = {"chunk": piece, "memory": view, "feedback": ""}
        # A number of its own, so that it is not taken for another turn on the piece before.
        turn = {"chunk_index": (info["chunk_index"], number)}
        return next(self._writing.prompts(told, turn))


def _joined(replies: Sequence[ChatReply]) -> dict[str, Any]:
    actions = [reply_action(reply) for reply in replies]
    return {
        "role": "assistant",
        "content": "\n".join(action["content"] for action in actions),
        "tool_calls": [call for action in actions for call in action["tool_calls"]],
    }


def in_pieces(chunk: str, tokens: int, counter: TokenCounter) -> list[str]:
    """Cut a chunk between sentences.

    Args:
        chunk: A heading in brackets (a date) on its first line is said again in every piece.
        tokens: Size of a piece, its heading included; a longer sentence is a piece of its own.
        counter: Counts them.
    """
    first, _, rest = chunk.partition("\n")
    dated = first.startswith("[") and first.endswith("]") and rest.strip()
    heading = first + "\n" if dated else ""
    pieces: list[str] = []
    begun = counter.count(heading) if heading else 0
    held, size = "", begun
    for part in _sentences(rest if heading else chunk):
        count = counter.count(part)
        if held and size + count > tokens:
            pieces.append(heading + held.strip())
            held, size = "", begun
        held += part
        size += count
    return [*pieces, heading + held.strip()] if held.strip() else pieces


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text with the space and line breaks behind them."""
    place = end = 0
    for sentence in split_sentences(text):
        start = text.find(sentence, end)
        if start < 0:  # white space in it is not as in the text: it goes with the one before
            continue
        if end:
            yield text[place:start]
            place = start
        end = start + len(sentence)
    yield text[place:]


def model_folder(name: str) -> Path:
    """Return the folder of a trained model.

    Args:
        name: One of :data:`SHIPPED`, a run of ``memgym train`` (its best model), or a model of one.

    Raises:
        UsageError: it is none of these.
    """
    path = SHIPPED.get(name, Path(name))
    for found in (path, RunFolder(path).best):
        if (found / FILE).is_file():
            return found
    raise UsageError(f"grpo:{name}: no trained model in that folder; memgym train makes one")


def trained_model(folder: Path) -> ModelSettings:
    """Return how the model of a folder is asked: greedily, in this process.

    Raises:
        UsageError: the folder holds no trained model.
    """
    prompt = read_manifest(folder).prompt
    return ModelSettings(
        str(folder),
        backend="transformers",
        tool_format=prompt.tool_format,
        max_tokens=prompt.max_tokens,
        temperature=0.0,
        template_options=prompt.template_options,
    )
