"""A model card: Markdown of a stranger's, made into HTML that can do nothing.

The library renders CommonMark with HTML switched off, so tags show as text. Pictures show as their
description, as a page must not ask another server for anything; links lead to web pages only.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memgym.errors import UsageError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

    Tokens = Sequence[Token]

__all__ = ["card_html"]

_WEB = ("https://", "http://")
_TOP = 2  # levels that headings move down: the page has headings of its own above them


def card_html(card: str) -> str:
    """Return a card as HTML that is safe to put into a page.

    Raises:
        UsageError: it is nested too deeply to be rendered.
    """
    try:
        rendered: str = _renderer().render(card)
    except RecursionError as error:
        raise UsageError("a model card is nested too deeply") from error
    return rendered


def _renderer() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    renderer.validateLink = lambda url: url.lower().startswith(_WEB)  # type: ignore[method-assign]
    renderer.add_render_rule("image", _image)
    renderer.add_render_rule("heading_open", _heading)
    renderer.add_render_rule("heading_close", _heading)
    renderer.add_render_rule("link_open", _link)
    return renderer


def _image(renderer: object, tokens: "Tokens", index: int, options: object, env: object) -> str:
    return html.escape(tokens[index].content)


def _heading(
    renderer: "RendererHTML", tokens: "Tokens", index: int, options: "OptionsDict", env: "EnvType"
) -> str:
    token = tokens[index]
    token.tag = f"h{min(6, int(token.tag[1:]) + _TOP)}"
    return renderer.renderToken(tokens, index, options, env)


def _link(
    renderer: "RendererHTML", tokens: "Tokens", index: int, options: "OptionsDict", env: "EnvType"
) -> str:
    tokens[index].attrSet("rel", "nofollow noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)
