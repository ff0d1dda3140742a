"""HTML pages that are one file: style, scripts and data inside, and no way to ask for anything.

A policy in the page admits the style and the script that were put in and nothing else, so text of
a trace cannot run or load anything even if it reached the page as HTML. It does not: it goes in as
JSON, and the script shows it as text.
"""

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

__all__ = ["content_policy", "packaged_text", "self_contained_page"]

_SLOT = re.compile(r"\{\{(\w+)\}\}")
# What could end the element, what an old parser takes for a line end, and what UTF-8 cannot write.
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def packaged_text(package: str, *names: str) -> str:
    """Return text files of a package, one after the other."""
    return "\n".join(files(package).joinpath(name).read_text(encoding="utf-8") for name in names)


def content_policy(style: str, script: str) -> str:
    """Return the policy that admits this one style and this one script, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def self_contained_page(template: str, *, title: str, style: str, script: str, data: Any) -> str:
    """Return a page.

    Args:
        template: HTML with the slots ``{{policy}}``, ``{{title}}``, ``{{style}}``, ``{{script}}``
            (each alone in its element) and ``{{data}}``, in an element that no browser runs.
        title: Any text.
        style: CSS.
        script: JavaScript.
        data: JSON values without NaN or infinity; strings of any kind.
    """
    slots = {
        "policy": content_policy(style, script),
        "title": html.escape(_without_surrogates(title)),
        "style": style,
        "script": script,
        "data": _json(data),
    }
    return _SLOT.sub(lambda slot: slots[slot[1]], template)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
