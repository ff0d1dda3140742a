"""``MemAlpha-v0``: read a long text chunk by chunk, keep a memory, be asked about the text."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from memgym.actions import ParsedAction, parse_action, plain_text
from memgym.envs.grading import AnswerSheet, question_facts, question_preface
from memgym.envs.rendering import render_frame
from memgym.envs.settings import Settings, checked_reset_options, make_settings
from memgym.envs.state import dump_state, load_state
from memgym.envs.view import clip, render_memory
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.execute import ToolResult, execute, feedback_line
from memgym.memory import STORES, Memory
from memgym.prompts import instructions
from memgym.quality import make_content_judge
from memgym.reader import make_reader
from memgym.rewards import REWARD_TERMS, checked_weights, compression, step_terms, weighted_sum
from memgym.scoring import make_answer_judge
from memgym.spaces import ToolCalls, UnicodeText
from memgym.tasks.registry import load_source
from memgym.tools import ToolCall

__all__ = ["MemAlphaEnv"]

_DRAWS = 100  # of an episode whose first max_chunks chunks answer some question
_WRITE_TOOLS = ("new_memory_insert", "memory_update", "memory_delete")


class MemAlphaEnv(gym.Env[dict[str, Any], Any]):
    """Build a memory from a text that passes by once, then answer questions from it alone.

    ## Description
    An episode is a long text in chunks and questions about it. Each step shows one chunk; the
    action is a list of tool calls that edit a structured memory (a core paragraph, semantic items,
    episodic items). After the last chunk the questions are answered from the memory, by default by
    a frozen reader that needs no model, and scored. Questions that are due in mid-stream are
    answered from the memory of that moment.

    ## Action Space
    `ToolCalls`: a tuple or list of `{"name": str, "arguments": {...}}`.

    | tool | arguments |
    |---|---|
    | `new_memory_insert` | `memory_type`, `content` |
    | `memory_update` | `memory_type`, `new_content`, `memory_id` (not for `core`) |
    | `memory_delete` | `memory_type`, `memory_id` (not for `core`) |
    | `search_memory` | `query`, `memory_type` (optional), `top_k` (optional) |
    | `answer` | `text`; only when a question is asked |

    `step` takes more than the space holds: one call alone, OpenAI's wire form, a JSON string, model
    text with `<tool_call>` blocks; `()`, `""` and `None` keep nothing. What a policy gets wrong
    becomes an error result in `feedback` and `info`, never an exception; an action of a type that
    no policy can emit (a number, an array) raises `TypeError`.

    ## Observation Space
    `Dict` of `chunk` (the text to read now, `""` when there is none), `feedback` (what became of
    each call of the previous action), `memory` (the visible part of the memory, with ids),
    `progress` (`Box(0, 1, (2,), float32)`: share of chunks read; memory tokens as a share of the
    budget, or of the text read so far if there is no budget) and, with `answer_mode="agent"`,
    `question`.

    ## Starting State
    An empty memory and the first chunk of an episode drawn from `source` and `split`.
    `reset(options=...)` takes `episode` (an id, an index, or an `Episode`), `split` and
    `max_chunks`.

    ## Rewards
    The return of an episode is `correctness + 0.05 compression + mean format + 0.1 mean content`.
    `format` (share of writing calls that succeeded) and `content` (share of written items that are
    valid) are computed over all turns of a chunk and paid when it is left, divided by the number of
    chunks; `correctness` (mean answer score) and `compression` (1 - memory tokens / chunk tokens)
    are paid on the last step. `info["reward_terms"]` holds the undivided terms, 0.0 where a term is
    not paid. `reward_rules="paper"` does not divide. See :mod:`memgym.rewards`.

    ## Episode End
    Terminated on the step that handles the last chunk, or the last question if the agent answers.
    Never truncated; do not add a `TimeLimit`, use `max_chunks`.

    ## Information
    `reset`: `episode_id`, `source`, `split`, `ability`, `question_preface` (str), `n_chunks`,
    `n_questions` (int). Always: `chunk_index`, `memory_items`, `memory_tokens`, `n_calls`,
    `n_valid_calls` (int), `reward_terms` (dict of float), `tool_results` (tuple of dict). Last
    step: `metrics` (dict of float), `answers` (tuple of dict). `chunk_index` is that of the
    chunk in the observation that comes with it, the number of chunks once the last has been left.

    ## Arguments
    `preset` (`"default"` or `"paper"`), `render_mode`, and every field of
    :class:`memgym.envs.settings.Settings`.

    ## References
    Mem-alpha: Learning Memory Construction via Reinforcement Learning, arXiv 2509.25911.

    ## Version History
    - v0: first release.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares an instance variable
        "render_modes": ["ansi", "human"],
        "render_fps": 4,
    }

    def __init__(
        self, *, preset: str = "default", render_mode: str | None = None, **settings: Any
    ) -> None:
        """Make the environment.

        Args:
            preset: Named settings to start from, see :data:`memgym.envs.settings.PRESETS`.
            render_mode: ``"ansi"`` returns frames as text, ``"human"`` prints them.
            **settings: Fields of :class:`memgym.envs.settings.Settings`.

        Raises:
            UsageError: a setting is unknown or invalid, or the data cannot be loaded.
        """
        self.settings: Settings = make_settings(preset, settings)
        self.render_mode = render_mode
        chosen = self.settings
        self.reader = make_reader(chosen.reader, **chosen.reader_options)
        self.answer_judge = make_answer_judge(chosen.answer_judge, **chosen.answer_judge_options)
        self.content_judge = make_content_judge(
            chosen.content_judge, **chosen.content_judge_options
        )
        self.memory: Memory = chosen.memory(0)
        self._weights = checked_weights(chosen.reward_weights)
        self._asks_agent = chosen.answer_mode == "agent"
        search = ("search_memory",) if chosen.turns_per_chunk > 1 else ()
        self._read_tools = (*_WRITE_TOOLS, *search)
        self._ask_tools = (*search, "answer")
        self.tool_names = (*self._read_tools, "answer") if self._asks_agent else self._read_tools
        self.instructions = instructions(self.tool_names, chosen.memory_types)
        text = UnicodeText(chosen.max_text_characters)
        fields: dict[str, spaces.Space[Any]] = {
            "chunk": text,
            "feedback": text,
            "memory": text,
            "progress": spaces.Box(0.0, 1.0, (2,), np.float32),
        }
        if self._asks_agent:
            fields["question"] = text
        self.observation_space = spaces.Dict(fields)
        self.action_space = ToolCalls(self.tool_names, max_calls=chosen.max_calls)
        self._episodes = self._load(chosen.split)
        self._split = chosen.split
        self._active = False

    def _load(self, split: str) -> Any:
        chosen = self.settings
        return load_source(chosen.source, split, chosen.source_options, chosen.data or None)

    # ------------------------------------------------------------------ reset and step

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seeds the choice of the episode; without it the stream goes on.
            options: ``episode`` (id, index or :class:`~memgym.episode.Episode`; default: drawn),
                ``split``, ``max_chunks``; all optional.

        Raises:
            UsageError: an option is unknown or names nothing.
        """
        super().reset(seed=seed)
        given = checked_reset_options(options)
        self._split = given.get("split", self.settings.split)
        self._episodes = self._load(self._split)
        self._max_chunks = given.get("max_chunks", self.settings.max_chunks)
        self._whole_episode, episode = self._choose(given.get("episode"), self._max_chunks)
        self._begin(episode)
        self._feedback: list[str] = []
        self._last: tuple[tuple[ToolResult, ...], dict[str, float]] = ((), _no_terms())
        observation = self._observation()
        if self.render_mode == "human":
            self._show(())
        return observation, {**self._reset_info(), **self._step_info((), _no_terms())}

    def _choose(
        self, wanted: Episode | int | str | None, max_chunks: int
    ) -> tuple[Episode, Episode]:
        """Return the wanted episode, or a drawn one, whole and cut after ``max_chunks``."""
        if wanted is not None:
            named = wanted if isinstance(wanted, Episode) else self._episodes.episode(wanted)
            return named, named.first(max_chunks) if max_chunks else named
        for _ in range(_DRAWS):
            drawn = self._episodes.sample(self.np_random)
            if not max_chunks or drawn.questions_within(max_chunks):
                break
        return drawn, drawn.first(max_chunks) if max_chunks else drawn

    def _begin(self, episode: Episode) -> None:
        self.episode = episode
        count = self.memory.counter.count
        budget = self.settings.memory_budget
        if isinstance(budget, float) and budget:
            budget = max(1, int(budget * episode.count_tokens(count)))
        self.memory = self.settings.memory(int(budget))
        self.question_preface = question_preface(episode)
        self._sheet = AnswerSheet(
            episode.questions,
            self.question_preface,
            self.answer_judge,
            episode.source,
            question_facts(self._whole_episode, episode.questions),
        )
        self._evidence_chunks = {e.chunk for q in episode.questions for e in q.evidence}
        self._removed: list[str] = []
        self._read_tokens = 0
        self._turn = 0
        self._turn_results: tuple[ToolResult, ...] = ()
        self._shown: list[str] = []
        self._due: list[int] = []
        self._active = True
        self._open_chunk(0)

    def _open_chunk(self, index: int) -> None:
        """Make chunk ``index`` the one being read; past the last one there is none."""
        self._chunk_index = index
        self._chunk = self.episode.chunks[index] if index < len(self.episode.chunks) else ""
        limit = self.settings.max_text_characters
        if len(self._chunk) > limit:
            self._active = False
            raise UsageError(
                f'episode "{self.episode.id}": chunk {index} has {len(self._chunk)} characters, at '
                f"most {limit} fit; cut it, or set max_text_characters={len(self._chunk)}"
            )
        self._read_tokens += self.memory.counter.count(self._chunk)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply the calls of one action, then show what comes next.

        Args:
            action: See the class; any form that a policy can emit is taken.

        Returns:
            Observation, reward, terminated, truncated (always False) and info.

        Raises:
            ResetNeeded: before the first reset or after the end.
            TypeError: the action is of a type that is no form of tool calls.
            Exception: what a reader or judge raises whose model cannot be reached; then reset.
        """
        if not self._active:
            raise ResetNeeded("call reset() first: there is no running episode")
        parsed = parse_action(
            action,
            max_calls=self.settings.max_calls,
            repair=self.settings.repair,
            tools=self.tool_names,
        )
        allowed = self._ask_tools if self._due else self._read_tools
        results = tuple(execute(call, self.memory, allowed) for call in parsed.calls)
        self._removed.extend(result.removed for result in results if result.removed)
        self._feedback = [feedback_line(result) for result in results]
        terms = _no_terms()
        if self._due:
            self._take_answer(action, parsed, results)
        else:
            self._turn_results += results
            if not self._may_go_on(_searched(results)):
                terms |= self._chunk_terms()
                self._leave_chunk()
        return self._outcome(results, terms)

    def _outcome(
        self, results: tuple[ToolResult, ...], terms: dict[str, float]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        terminated = not self._active
        if terminated:
            terms["correctness"] = self._sheet.score()
            terms["compression"] = compression(self.memory.total_tokens, self._read_tokens)
        info = self._step_info(results, terms)
        if terminated:
            info["metrics"] = self._metrics(terms)
            info["answers"] = self._sheet.to_info()
        if self.render_mode == "human":
            self._show(results, terms)
        self._last = (results, terms)
        published = self.settings.reward_rules == "paper"
        chunks = 1 if published else len(self.episode.chunks)
        reward = weighted_sum(terms, self._weights, chunks=chunks)
        return self._observation(), reward, terminated, False, info

    # ------------------------------------------------------------------ the course of an episode

    def _may_go_on(self, wants_to: bool) -> bool:
        """Whether the same chunk or question is shown once more, with the results of this step."""
        if wants_to and self._turn + 1 < self.settings.turns_per_chunk:
            self._turn += 1
            return True
        self._turn = 0
        return False

    def _chunk_terms(self) -> dict[str, float]:
        """Return the reward terms that are paid when a chunk is left, over all its turns."""
        known = bool(self._evidence_chunks)
        return step_terms(
            self._turn_results,
            self._chunk,
            self.memory,
            rules=self.settings.reward_rules,
            judge=self.content_judge,
            nothing_to_store=known and self._chunk_index not in self._evidence_chunks,
        )

    def _leave_chunk(self) -> None:
        """Ask what is due after the chunk, or go on to the next one."""
        self._turn_results = ()
        due = self.episode.questions_after(self._chunk_index)
        if due and self._asks_agent:
            self._due = list(due)
            self._chunk = ""
            self._shown = [self._memory_view()]
            return
        if due:
            self._sheet.ask_reader(self.reader, due, self.memory, self._removed)
        self._advance()

    def _take_answer(
        self, action: Any, parsed: ParsedAction, results: tuple[ToolResult, ...]
    ) -> None:
        """Grade the answer to the question that is asked; the last one of a step counts."""
        answers = [
            str(result.call.arguments["text"])
            for result in results
            if isinstance(result.call, ToolCall) and result.call.name == "answer"
        ]
        if not answers and isinstance(action, str) and not parsed.calls:
            answers = [plain_text(action)]  # a model that simply replies has answered
        self._shown += self._feedback
        # A search, or a call that could not be understood, does not use the question up.
        unclear = any(result.status == "error" for result in results)
        if not answers and self._may_go_on(unclear or _searched(results)):
            return
        self._turn = 0
        answer = answers[-1] if answers else ""
        self._sheet.take(self._due.pop(0), answer, self.memory, self._shown, self._removed)
        if self._due:
            self._shown = [self._memory_view()]
        else:
            self._advance()

    def _advance(self) -> None:
        self._active = self._chunk_index + 1 < len(self.episode.chunks)
        self._open_chunk(self._chunk_index + 1)

    # ------------------------------------------------------------------ what is shown

    def _memory_view(self) -> str:
        chosen = self.settings
        return render_memory(
            self.memory,
            self._question() or self._chunk,
            recent=chosen.view_recent,
            relevant=chosen.view_relevant,
            item_characters=chosen.view_item_characters,
            max_characters=chosen.max_text_characters,
        )

    def _question(self) -> str:
        return self.episode.questions[self._due[0]].question if self._due else ""

    def _observation(self) -> dict[str, Any]:
        limit = self.settings.max_text_characters
        observation: dict[str, Any] = {
            "chunk": self._chunk,
            "feedback": clip("\n".join(self._feedback), limit),
            "memory": self._memory_view(),
            "progress": self._progress(),
        }
        if self._asks_agent:
            preface = f"{self.question_preface}\n\n" if self.question_preface and self._due else ""
            observation["question"] = clip(preface + self._question(), limit)
        return observation

    def _progress(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        read = min(self._chunk_index, len(self.episode.chunks)) / len(self.episode.chunks)
        limit = self.memory.budget_tokens or self._read_tokens
        used = min(self.memory.total_tokens / limit, 1.0) if limit else 0.0
        return np.array([read, used], dtype=np.float32)

    def _reset_info(self) -> dict[str, Any]:
        episode = self.episode
        return {
            "episode_id": episode.id,
            "source": episode.source,
            "split": str(episode.metadata.get("split", self._split)),
            "ability": episode.ability,
            "question_preface": self.question_preface,
            "n_chunks": len(episode.chunks),
            "n_questions": len(episode.questions),
        }

    def _step_info(
        self, results: tuple[ToolResult, ...], terms: dict[str, float]
    ) -> dict[str, Any]:
        return {
            "chunk_index": self._chunk_index,
            "memory_items": len(self.memory),
            "memory_tokens": self.memory.total_tokens,
            "n_calls": len(results),
            "n_valid_calls": sum(result.status == "ok" for result in results),
            "reward_terms": dict(terms),
            "tool_results": tuple(result.to_info() for result in results),
        }

    def _metrics(self, terms: Mapping[str, float]) -> dict[str, float]:
        memory_tokens, read = float(self.memory.total_tokens), float(self._read_tokens)
        return {
            "correctness": terms["correctness"],
            "compression": terms["compression"],
            "memory_tokens": memory_tokens,
            "input_tokens": read,
            "memory_share": memory_tokens / read if read else 0.0,
            **self._sheet.metrics(),
        }

    # ------------------------------------------------------------------ tools for callers

    def action_mask(self) -> dict[str, Any]:
        """Return the mask for ``action_space.sample``: the usable tools and the ids in memory."""
        allowed = self._ask_tools if self._active and self._due else self._read_tools
        stores = [name for name in STORES if name in self.memory.memory_types]
        return {
            "tools": np.array([name in allowed for name in self.tool_names], dtype=np.int8),
            "memory_ids": {name: list(self.memory.items(name)) for name in stores},
            "core": "core" in self.memory.memory_types,
        }

    def get_state(self) -> dict[str, Any]:
        """Return the running episode as JSON values, to branch or resume from.

        Raises:
            ResetNeeded: there is no running episode.
        """
        if not self._active:
            raise ResetNeeded("call reset() first: there is no running episode to save")
        return dump_state(self)

    def set_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Continue from a state of :meth:`get_state` and return the observation it stands at.

        Raises:
            UsageError: the state is malformed, or of an episode that this source does not have.
        """
        load_state(self, state)
        return self._observation()

    def render(self) -> str | None:
        """Return the frame (``ansi``); in ``human`` mode frames are printed as they come."""
        if not hasattr(self, "_last"):
            raise ResetNeeded("call reset() first: there is nothing to render yet")
        if self.render_mode == "ansi":
            return self._frame(*self._last)
        if self.render_mode is None:
            gym.logger.warn(
                "render() does nothing without a render mode; make the environment with "
                'render_mode="ansi" or "human"'
            )
        return None

    def _frame(
        self, results: tuple[ToolResult, ...], terms: Mapping[str, float], colour: bool = False
    ) -> str:
        return render_frame(
            self.episode,
            self.memory,
            chunk_index=self._chunk_index,
            chunk=self._chunk,
            question=self._question(),
            memory_view=self._memory_view(),
            results=results,
            terms=terms,
            colour=colour,
        )

    def _show(
        self, results: tuple[ToolResult, ...], terms: Mapping[str, float] | None = None
    ) -> None:
        import sys

        frame = self._frame(results, terms or _no_terms(), colour=sys.stdout.isatty())
        sys.stdout.write(frame + "\n")


def _searched(results: tuple[ToolResult, ...]) -> bool:
    return any(r.call.name == "search_memory" and r.status == "ok" for r in results)


def _no_terms() -> dict[str, float]:
    return dict.fromkeys(REWARD_TERMS, 0.0)
