"""Language models behind one protocol: servers, models in this process, replies kept on disk."""

from memgym.agents.chat.chat import Chat, RunMeter
from memgym.agents.chat.models import (
    MODEL_PRESETS,
    ModelSettings,
    close_backends,
    model_settings,
    open_backend,
)
from memgym.agents.chat.store import ReplyStore
from memgym.agents.chat.types import (
    Backend,
    ChatError,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    Message,
    RefusedError,
    ServerError,
    StoppedError,
)

__all__ = [
    "MODEL_PRESETS",
    "Backend",
    "Chat",
    "ChatError",
    "ChatReply",
    "ChatRequest",
    "ContextLengthError",
    "Message",
    "ModelSettings",
    "RefusedError",
    "ReplyStore",
    "RunMeter",
    "ServerError",
    "StoppedError",
    "close_backends",
    "model_settings",
    "open_backend",
]
