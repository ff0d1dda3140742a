"""The two Gymnasium spaces of memgym: texts as observations, tool calls as actions."""

from memgym.spaces.tool_calls import ToolCalls
from memgym.spaces.unicode_text import SharedTexts, UnicodeText

__all__ = ["SharedTexts", "ToolCalls", "UnicodeText"]
