"""Digests of what a trace does not hold itself: episodes, observations, memories.

A digest is the SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.episode import Episode, episode_to_dict
from memgym.memory import STORES, Memory

__all__ = ["SHORT", "RunningDigest", "canonical", "episode_hash", "observation_digest"]

SHORT = 16
"""Hexadecimal digits that are kept of a digest that occurs at every step."""


def canonical(value: Any) -> bytes:
    """Return JSON values as canonical bytes.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is none of JSON's.
    """
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("utf-8", "surrogatepass")


def episode_hash(episode: Episode) -> str:
    """Return the digest of a whole episode, chunks and golds included, 64 digits."""
    return hashlib.sha256(canonical(episode_to_dict(episode))).hexdigest()


def observation_digest(observation: Mapping[str, Any]) -> str:
    """Return the digest of an observation of ``MemAlpha-v0``, :data:`SHORT` digits."""
    plain = {**observation, "progress": [float(share) for share in observation["progress"]]}
    return hashlib.sha256(canonical(plain)).hexdigest()[:SHORT]


class RunningDigest:
    """The digest of a memory that grows with an episode, brought up to date after every step.

    It is the sum, modulo 2**64, of the first 64 bits of the digests of all ``[type, id, content]``
    that are held (the core's id is ``""``). So a step costs what it changed, however much there is;
    the digest of the whole, :meth:`memgym.memory.Memory.digest`, is taken at the end.

    Args:
        memory: Empty; it is to be changed by tool calls alone.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._terms: dict[tuple[str, str], int] = {}
        self._sum = 0

    def after(self, results: Sequence[Mapping[str, Any]]) -> str:
        """Return the digest after a step with these tool results, :data:`SHORT` digits."""
        for result in results:
            if result["status"] == "ok":
                self._update(result["memory_type"], result["memory_id"])
        return f"{self._sum:0{SHORT}x}"

    def _update(self, memory_type: str, memory_id: str) -> None:
        if memory_type == "core":
            content: str | None = self._memory.core or None
        elif memory_type in STORES:
            content = self._memory.items(memory_type).get(memory_id)
        else:
            return
        term = 0
        if content is not None:
            packed = hashlib.sha256(canonical([memory_type, memory_id, content])).digest()
            term = int.from_bytes(packed[:8], "big")
        key = memory_type, memory_id
        self._sum = (self._sum + term - self._terms.get(key, 0)) % 2**64
        self._terms[key] = term
