"""The coding of ``MemAlphaNumeric-v0``: its spaces, and what sentences and decisions are in them.

Not here: the environment (:mod:`.numeric`), and what a decision does (:mod:`.micro_steps`).
"""

import operator
from typing import Any, Literal, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memgym.envs.features import Featuriser, make_encoder
from memgym.envs.micro_steps import MicroSteps, Move, joint_moves, layout
from memgym.errors import UsageError, nearest
from memgym.memory import STORES, Memory
from memgym.tokens import DEFAULT_COUNTER, get_counter

__all__ = ["NumericForm", "Observation"]

Observation: TypeAlias = Any  # an array, or a dict of arrays
_OPERATIONS = ("skip", "insert", "update", "delete")
_PLACES = (*STORES, "core")


class NumericForm:
    """The spaces of the numeric form, and what sentences and decisions are in them.

    Args:
        observation: ``box`` for one vector, ``dict`` for its parts by name.
        actions: ``joint`` for one number, ``multi`` for three (operation, store, slot).
        words: Hashed words that a sentence is shown as.
        similar_items: Items of each store that are shown, and can be updated or deleted.
        edits: Whether they can; without, a policy inserts, appends and skips.
        embeddings: Folder of a sentence-transformers model to use in place of hashed words.
        token_counter: Name of the environment's token counter.

    Raises:
        UsageError: an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        *,
        observation: Literal["box", "dict"] = "box",
        actions: Literal["joint", "multi"] = "joint",
        words: int = 128,
        similar_items: int = 3,
        edits: bool = True,
        embeddings: str = "",
        token_counter: str = DEFAULT_COUNTER,
    ) -> None:
        _check_choice("observation", observation, ("box", "dict"))
        _check_choice("actions", actions, ("joint", "multi"))
        slots = similar_items
        if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
            raise UsageError(f"similar_items must be an integer of at least 1, got {slots!r}")
        if not isinstance(edits, bool):
            raise UsageError(f"edits must be True or False, got {edits!r}")
        if not isinstance(embeddings, str):
            raise UsageError(f"embeddings must be the path of a model, got {embeddings!r}")
        self.featuriser = Featuriser(
            make_encoder(words, embeddings), get_counter(token_counter).count
        )
        self.similar_items, self.edits = slots, edits
        self._as_dict = observation == "dict"
        self._layout = layout(self.featuriser.encoder, slots)
        self.observation_space = self._observation_space()
        self._moves = joint_moves(slots, edits=edits)
        self._joint = actions == "joint"
        self.action_space: spaces.Discrete | spaces.MultiDiscrete = (
            spaces.Discrete(len(self._moves))
            if self._joint
            else spaces.MultiDiscrete([len(_OPERATIONS), len(_PLACES), slots])
        )
        self._numbers = [
            [[self._place_of(_move(name, place, slot)) for slot in range(slots)]
             for place in _PLACES] for name in _OPERATIONS
        ]  # fmt: skip
        self._parts = np.array([self._coordinates(move) for move in self._moves])

    def _observation_space(self) -> spaces.Dict | spaces.Box:
        low = self.featuriser.encoder.words_low
        boxes: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(
                low if name == "words" else 0.0, 1.0, (part.stop - part.start,), np.float32
            )
            for name, part in self._layout.items()
        }
        if self._as_dict:
            return spaces.Dict(boxes)
        lows = np.zeros(self._layout["words"].stop, dtype=np.float32)
        lows[self._layout["words"]] = low
        return spaces.Box(lows, np.ones_like(lows), dtype=np.float32)

    def _place_of(self, move: Move) -> int:
        """Return the number of a move; that of ``skip`` if there is no such move."""
        return self._moves.index(move) if move in self._moves else 0

    def _coordinates(self, move: Move) -> NDArray[np.bool_]:
        """Return a move in the multi coding, as a mask that allows nothing but it."""
        operation = "insert" if move.operation == "append" else move.operation
        place = "core" if move.operation == "append" else move.store
        return np.array(
            [name == operation for name in _OPERATIONS]
            + [name == place and operation != "skip" for name in _PLACES]
            + [slot == move.slot and operation != "skip" for slot in range(self.similar_items)]
        )

    def begin(self, memory: Memory, max_calls: int) -> MicroSteps:
        """Return the course of a new episode.

        Args:
            memory: The environment's, empty; it is read for its limits only.
            max_calls: Tool calls that the environment takes per step.
        """
        return MicroSteps(
            self.featuriser,
            memory,
            similar_items=self.similar_items,
            edits=self.edits,
            max_calls=max_calls,
        )

    def observe(self, steps: MicroSteps) -> Observation:
        """Return what is seen of the current sentence; zeros when there is none."""
        end = self._layout["words"].stop
        flat = steps.observation() if steps.reading else np.zeros(end, dtype=np.float32)
        if self._as_dict:
            return {name: flat[part] for name, part in self._layout.items()}
        return flat

    def mask(self, steps: MicroSteps) -> NDArray[np.int8]:
        """Return which actions are allowed, 1 or 0 each.

        In the joint coding exactly those that the environment would carry out with status ``ok``
        and whole, and ``skip``. In the multi coding three masks end to end, which allow what some
        allowed decision has in that place; a combination of them may still be a ``skip``.
        """
        if self._joint:
            return np.array(steps.allowed, dtype=np.int8)
        mask: NDArray[np.bool_] = self._parts[np.array(steps.allowed)].any(axis=0)
        if not mask[len(_OPERATIONS) :].any():
            mask[len(_OPERATIONS) :] = True  # only skip is left, and it looks at neither
        return mask.astype(np.int8)

    def number(self, action: Any) -> int:
        """Return the number, in the joint coding, of the decision that an action stands for.

        In the multi coding ``insert`` into the core appends to it, and the core is never updated
        or deleted: those two are ``skip``.

        Raises:
            UsageError: the action is not in the action space.
        """
        if self._joint:
            return self._checked(action, len(self._moves))
        if np.shape(action) != (3,):
            raise UsageError(f"an action must be an element of {self.action_space}, got {action!r}")
        sizes = (len(_OPERATIONS), len(_PLACES), self.similar_items)
        operation, place, slot = map(self._checked, action, sizes)
        return self._numbers[operation][place][slot]

    def _checked(self, number: Any, below: int) -> int:
        try:
            index = operator.index(number)
        except TypeError:
            index = -1
        if not 0 <= index < below:
            raise UsageError(f"an action must be an element of {self.action_space}, got {number!r}")
        return index


def _move(operation: str, place: str, slot: int) -> Move:
    """Return what the three numbers of the multi coding stand for."""
    if operation == "skip" or (place == "core" and operation != "insert"):
        return Move("skip")
    if place == "core":
        return Move("append")
    return Move(operation, place, 0 if operation == "insert" else slot)  # type: ignore[arg-type]


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f'{name}: unknown value "{value}": {nearest(str(value), choices)}')
