"""``MemAlphaNumeric-v0``: the same task in numbers, for learners that know no text.

Not another task: what is decided becomes the tool calls of a ``MemAlpha-v0`` inside, which holds
the memory, asks the questions, and says what everything is worth. Not here: how sentences and
decisions are coded (:mod:`.numeric_form`), and what a decision does (:mod:`.micro_steps`).
"""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.envs.micro_steps import MicroSteps
from memgym.envs.numeric_form import NumericForm, Observation
from memgym.envs.shaping import EvidencePotential, RoomPotential, checked_weight
from memgym.errors import UsageError

__all__ = ["MemAlphaNumericEnv"]


class MemAlphaNumericEnv(gym.Env[Any, Any]):
    """``MemAlpha-v0`` in numbers: one small decision per sentence.

    ## Description
    The episode, memory, reader, scorer and reward are those of ``MemAlpha-v0``. A chunk is read
    sentence by sentence (a labelled example is one sentence); what is decided about its sentences
    becomes one action of ``MemAlpha-v0``, a list of tool calls, when the chunk ends.

    ## Action Space
    `actions="joint"`: `Discrete(4 + 4 K)`, K being `similar_items`; `Discrete(4)` with
    `edits=False`.

    | action | meaning |
    |---|---|
    | 0 | skip the sentence |
    | 1, 2 | insert it into semantic, episodic memory |
    | 3 | append it to the core |
    | 4 … 3 + 2 K | put it in place of the k-th most similar semantic, then episodic item |
    | 4 + 2 K … 3 + 4 K | delete the k-th most similar semantic, then episodic item |

    `actions="multi"`: `MultiDiscrete([4, 3, K])`: operation (skip, insert, update, delete), place
    (semantic, episodic, core) and slot. Inserting into the core appends to it; updating or deleting
    the core is skipping.

    `action_masks()` (the method sb3-contrib looks for) and `info["action_mask"]` (`int8`) say what
    is allowed; with `joint` exactly what `MemAlpha-v0` would carry out with status `ok`. Anything
    else skips the sentence.

    ## Observation Space
    `observation="box"`: one vector; `"dict"`: its parts, in the same order.

    | part | what it shows |
    |---|---|
    | `memory` | use of budget and limits (`MEMORY`) |
    | `nearest` | cosine with the core's nearest sentence, then K times `NEAREST` of each store |
    | `sentence` | its size and place (`READING`), its names (`MENTIONS`), its surface (`SURFACE`) |
    | `words` | its words, hashed, or its embedding |

    The names are those of `memgym.envs.micro_steps`, `.mentions` and `.features`, where each number
    is explained. Nothing in it comes from a question.

    ## Starting State
    The first sentence of an episode. `reset(options=...)` is that of ``MemAlpha-v0``.

    ## Rewards
    That of ``MemAlpha-v0`` when a chunk ends, 0 in between. `shaping` and
    `room_price` add differences of potentials to every step, see :mod:`memgym.envs.shaping`; the
    return stays what it is.

    ## Episode End
    Terminated with the last sentence. Never truncated.

    ## Information
    Always `action_mask`. With the first sentence and at the end of every chunk also what
    ``MemAlpha-v0`` gives, and, at the end of a chunk, `tool_calls`: the action it was given.

    ## Arguments
    Those of :class:`~memgym.envs.numeric_form.NumericForm`, `shaping` and
    `room_price` (weights of the potentials of evidence and of room, default 0), and every argument
    of ``MemAlpha-v0`` but `answer_mode="agent"`: answers are text.

    ## Version History
    - v0: first release.
    """

    metadata = MemAlphaEnv.metadata

    def __init__(
        self,
        *,
        observation: Literal["box", "dict"] = "box",
        actions: Literal["joint", "multi"] = "joint",
        words: int = 128,
        similar_items: int = 3,
        edits: bool = True,
        embeddings: str = "",
        shaping: float = 0.0,
        room_price: float = 0.0,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        """Make the environment; see the class for the arguments.

        Raises:
            UsageError: an argument is unknown or invalid, or the data cannot be loaded.
        """
        # Nobody reads the memory's text here but a viewer, so it is not rendered without one.
        unseen = {} if render_mode else {"view_recent": 0, "view_relevant": 0}
        self.text_env = MemAlphaEnv(render_mode=render_mode, **{**unseen, **settings})
        self.settings = self.text_env.settings
        if self.settings.answer_mode == "agent":
            raise UsageError(
                'MemAlphaNumeric-v0 has no answer_mode "agent": an answer is text; use "reader"'
            )
        self.form = NumericForm(
            observation=observation,
            actions=actions,
            words=words,
            similar_items=similar_items,
            edits=edits,
            embeddings=embeddings,
            token_counter=self.settings.token_counter,
        )
        self._shaping = checked_weight(shaping)
        self._price = checked_weight(room_price, "room_price")
        self.render_mode = render_mode
        self.observation_space = self.form.observation_space
        self.action_space = self.form.action_space
        self._steps: MicroSteps | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see :meth:`memgym.envs.mem_alpha.MemAlphaEnv.reset`."""
        super().reset(seed=seed)
        self._steps = None
        observation, info = self.text_env.reset(seed=seed, options=options)
        steps = self.form.begin(self.text_env.memory, self.settings.max_calls)
        steps.open(observation["chunk"], 0, len(self.text_env.episode.chunks))
        self._steps = steps
        questions = self.text_env.episode.questions if self._shaping else ()
        self._potential = EvidencePotential(questions)
        self._room = self._room_potential()
        return self.form.observe(steps), {**info, "action_mask": self.form.mask(steps)}

    def _room_potential(self) -> RoomPotential:
        memory = self.text_env.memory
        if not self._price or not memory.budget_tokens:  # counting takes time
            return RoomPotential(0, 0)
        text_tokens = self.text_env.episode.count_tokens(memory.counter.count)
        return RoomPotential(memory.budget_tokens, text_tokens)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide about the sentence, then show the next one.

        Raises:
            ResetNeeded: before the first reset or after the end.
            UsageError: the action is not in the action space.
        """
        steps = self._running()
        steps.take(self.form.number(action))
        reward, terminated, info = 0.0, False, dict[str, Any]()
        if not steps.reading:
            calls = tuple(steps.calls)
            text, reward, terminated, _, info = self.text_env.step(calls)
            info["tool_calls"] = calls
            if not terminated:
                steps.open(text["chunk"], info["chunk_index"], len(self.text_env.episode.chunks))
        info["action_mask"] = self.form.mask(steps)
        observation = self.form.observe(steps)
        if self._shaping:
            reward += self._shaping * self._potential.rise(() if terminated else steps.texts())
        if self._price:
            reward += self._price * self._room.rise(0 if terminated else steps.total_tokens)
        if terminated:
            self._steps = None
        return observation, reward, terminated, False, info

    def _running(self) -> MicroSteps:
        if self._steps is None:
            raise ResetNeeded("call reset() first: there is no running episode")
        return self._steps

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now; see :meth:`NumericForm.mask`.

        Raises:
            ResetNeeded: there is no running episode.
        """
        return self.form.mask(self._running()).astype(np.bool_)

    def render(self) -> str | None:
        """Return the frame of ``MemAlpha-v0`` and the sentence (``ansi``)."""
        frame = self.text_env.render()
        if frame is None or self._steps is None:
            return frame
        return f"{frame}\n── sentence\n  {self._steps.sentence}"

    def close(self) -> None:
        """Close the environment inside."""
        self.text_env.close()
