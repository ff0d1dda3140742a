"""What language-model calls cost: tokens, seconds and troubles, added up per episode."""

from dataclasses import asdict, dataclass, fields

__all__ = ["Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of language-model calls; two of them add and subtract field by field.

    Attributes:
        calls: Calls answered, those from disk included.
        prompt_tokens: Tokens of all prompts.
        cached_tokens: Those of them that the server took from its prefix cache.
        completion_tokens: Tokens generated, thinking included.
        seconds: Seconds from request to reply, summed over calls (they overlap in time).
        retries: Requests sent again after a fault on the way.
        failures: Calls that got no reply: prompts that did not fit, servers that gave up.
        from_disk: Calls answered from a cache on disk; their other counts are what they once cost.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    retries: int = 0
    failures: int = 0
    from_disk: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, x.name) + getattr(other, x.name) for x in fields(self)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, x.name) - getattr(other, x.name) for x in fields(self)))

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def as_dict(self) -> dict[str, float]:
        """Return the counts by name."""
        return asdict(self)
