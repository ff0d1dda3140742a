"""What generates for the rollouts, and how it gets the weights of each update.

Three kinds: the trained weights themselves in this process (or, where they are sharded, a whole
copy of them), vLLM in this process, and vLLM servers (:mod:`.servers`). vLLM reads new weights from
a folder (its ``reload_weights``), so nothing of ours runs inside it. What that costs is in
``docs/training_on_many_gpus.md``.
"""

from typing import Any, Protocol

from memgym.agents.chat.batching import Engine
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.transformers_local import BATCH_TOKENS, LocalEngine
from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.agents.chat.vllm_local import load_engine
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.processes import process_count
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.weights import (
    WeightFolder,
    copy_weights,
    is_sharded,
    named_weights,
    whole_copy,
)
from memgym.errors import UsageError, nearest

__all__ = ["CopyEngine", "RolloutEngine", "SharedEngine", "VLLMEngine", "open_engine"]


class RolloutEngine(Engine, Protocol):
    """An engine that can be given new weights. Nothing may be running meanwhile."""

    def load_weights(self, model: Any, version: int) -> None:
        """Generate with the weights of this model from now on.

        With several training processes, all of them call it.

        Args:
            model: The trained module, that of peft or FSDP2 included.
            version: Updates that it has seen.

        Raises:
            ServerError: a server did not take them.
        """
        ...

    def rest(self) -> None:
        """Free device memory for an update; it generates again after :meth:`load_weights`."""
        ...


class SharedEngine(LocalEngine):
    """Generates with the trained module itself, so that its weights are never copied."""

    def load_weights(self, model: Any, version: int) -> None:
        """Put the model into inference mode; that is all."""
        model.eval()

    def rest(self) -> None:
        """Nothing is held between replies."""


class CopyEngine(LocalEngine):
    """Generates with a whole copy of weights that are sharded over processes, one in each.

    A sharded model could only generate if all processes made the same passes at the same time. The
    copy is in the type that is computed in, and gets the weights one by one after each update.
    """

    def load_weights(self, model: Any, version: int) -> None:
        """See :class:`RolloutEngine`."""
        copy_weights(self._model, named_weights(model))

    def rest(self) -> None:
        """The copy stays where it is."""


class VLLMEngine:
    """vLLM in this process, beside the learner, which is alone; several take servers.

    Args:
        policy: Written to the folder at once: vLLM starts from there.
        settings: ``engine_options`` are those of vLLM's engine, and ``weights_dtype``. With
            ``{"enable_sleep_mode": True}`` it gives its device memory back for the updates.

    Raises:
        UsageError: vLLM is missing, an option is wrong, or the model cannot be loaded.
    """

    def __init__(self, policy: Policy, settings: TrainSettings) -> None:
        if process_count() > 1:
            raise UsageError(
                'rollout.engine "vllm" is for one training process; start servers for several, and '
                'use "servers"'
            )
        options = dict(settings.rollout.engine_options)
        self._folder = WeightFolder(dtype=options.pop("weights_dtype", ""))
        start = self._folder.write(policy.model, 0)
        policy.tokenizer.save_pretrained(start)
        if settings.prompt.context_tokens:
            options.setdefault("max_model_len", settings.prompt.context_tokens)
        self._engine = load_engine(
            ModelSettings(
                start,
                backend="vllm",
                engine_options=options,
                concurrency=settings.rollout.concurrency,
            )
        )
        self._folder.remove(0)
        self._sleeps = bool(options.get("enable_sleep_mode"))
        self._asleep = False

    def start(self, number: int, request: ChatRequest) -> None:
        """See :class:`~memgym.agents.chat.batching.Engine`."""
        self._engine.start(number, request)

    def step(self) -> list[tuple[int, ChatReply | ChatError]]:
        """See :class:`~memgym.agents.chat.batching.Engine`."""
        return self._engine.step()

    def drop(self) -> None:
        """Forget all that runs."""
        self._engine.drop()

    def load_weights(self, model: Any, version: int) -> None:
        """See :class:`RolloutEngine`."""
        folder = self._folder.write(model, version)
        llm = self._engine.llm
        if self._asleep:
            llm.wake_up(["weights"])
        llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        if self._asleep:
            llm.wake_up(["kv_cache"])
            self._asleep = False
        if not llm.reset_prefix_cache():  # it holds keys and values of the old weights
            raise ServerError("vLLM still generates; weights are loaded between rollouts only")
        self._folder.remove(version)

    def rest(self) -> None:
        """Drop weights and cache from the device, if sleep mode is on."""
        if self._sleeps:
            self._engine.llm.sleep(2)
            self._asleep = True

    def close(self) -> None:
        """Free the model."""
        self._engine.close()
        self._folder.close()


def open_engine(policy: Policy, settings: TrainSettings) -> RolloutEngine:
    """Return the engine that the settings name, which generates with the weights of the policy.

    Raises:
        UsageError: an option is wrong, or what it needs is missing.
    """
    kind = settings.rollout.engine
    if kind == "vllm":
        return VLLMEngine(policy, settings)
    if kind == "servers":
        from memgym.agents.grpo.servers import ServersEngine

        return ServersEngine(policy, settings)
    return _own_engine(policy, settings)


def _own_engine(policy: Policy, settings: TrainSettings) -> SharedEngine | CopyEngine:
    options = settings.rollout.engine_options
    for name in options:
        if name != "batch_tokens":
            raise UsageError(
                f'rollout engine "transformers" has no option "{name}": '
                f"{nearest(name, ['batch_tokens'])}"
            )
    tokens = options.get("batch_tokens", BATCH_TOKENS)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise UsageError(f"rollout.engine_options.batch_tokens must be from 1, got {tokens!r}")
    most = settings.prompt.context_tokens
    given: dict[str, Any] = {"batch_tokens": tokens, "max_length": most}
    if not is_sharded(policy.model):
        return SharedEngine(policy.model, policy.tokenizer, **given)
    import torch

    chosen = settings.policy
    dtype = torch.bfloat16 if chosen.autocast else getattr(torch, chosen.dtype)
    copy = whole_copy(policy.model, dtype, policy.model.device)
    return CopyEngine(copy, policy.tokenizer, **given)
