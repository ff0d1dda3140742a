"""Reading a TOML, YAML or JSON file into plain, checked values, and writing them as TOML.

Every error names the file and the line or the key. What the keys mean is not known here.
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.secret_settings import is_secret

__all__ = ["Table", "read_config", "toml_text"]

_FORMS = (".toml", ".yaml", ".yml", ".json")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOML_LINE = re.compile(r" \(at line (\d+), column \d+\)")


class Table:
    """A table of a file that remembers where it stands.

    Args:
        content: The value found there.
        file: Name of the file, for errors.
        path: Keys that lead to it, e.g. ``models.small``; ``""`` for the whole file.
        keys: The keys it may have; any, if not given.

    Raises:
        UsageError: it is no table, or has another key.
    """

    def __init__(
        self, content: Any, file: str, path: str = "", keys: Iterable[str] | None = None
    ) -> None:
        self._file, self._path = file, path
        if not isinstance(content, Mapping):
            raise UsageError(f"{self.place()}: must be a table of keys, got {content!r}")
        self.content: Mapping[str, Any] = content
        known = None if keys is None else list(keys)
        for name in content:
            if known is not None and name not in known:
                raise UsageError(f'{self.place()}: unknown key "{name}": {nearest(name, known)}')

    def __contains__(self, name: str) -> bool:
        return name in self.content

    def place(self, name: str = "") -> str:
        """Return where the table, or a key of it, stands, for an error."""
        path = self._inside(name)
        return f"{self._file}: {path}" if path else self._file

    def text(self, name: str) -> str | None:
        """Return a text, ``None`` if it is not given."""
        found: str | None = self._get(name, lambda value: isinstance(value, str), "a text")
        return found

    def whole_number(self, name: str, least: int = 0) -> int | None:
        """Return an integer from ``least``, ``None`` if it is not given."""
        found: int | None = self._get(
            name,
            lambda value: isinstance(value, int) and value >= least,
            f"a whole number from {least}",
        )
        return found

    def items(self, name: str) -> list[Any]:
        """Return a list that is not empty.

        Raises:
            UsageError: it is missing, or is none.
        """
        found = self._get(name, lambda value: isinstance(value, list) and value, "a list of names")
        if found is None:
            raise UsageError(f'{self.place()}: "{name}" is missing, a list of names')
        return list(found)

    def table(self, name: str, keys: Iterable[str] | None = None) -> "Table":
        """Return a table inside this one, an empty one if it is not given."""
        return Table(self.content.get(name, {}), self._file, self._inside(name), keys)

    def rows(self, name: str, short: str, keys: Iterable[str]) -> list["Table"]:
        """Return the tables of a list; a plain text in it stands for a table with the key short."""
        return [
            Table(
                {short: item} if isinstance(item, str) else item,
                self._file,
                self._inside(f"{name}[{index}]"),
                keys,
            )
            for index, item in enumerate(self.items(name))
        ]

    def _inside(self, name: str) -> str:
        return ".".join(filter(None, (self._path, name)))

    def _get(self, name: str, fits: Callable[[Any], Any], wanted: str) -> Any:
        if name not in self.content:
            return None
        value = self.content[name]
        if isinstance(value, bool) or not fits(value):
            raise UsageError(f"{self.place(name)}: must be {wanted}, got {value!r}")
        return value


def read_config(path: Path, keys: Iterable[str], noun: str) -> Table:
    """Return the content of a file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Args:
        path: The file.
        keys: The keys that may stand at its top.
        noun: What such a file is, for the message about another ending.

    Raises:
        UsageError: it cannot be read, has a mistake in it, holds a value that JSON has no form for,
            or holds a key or password.
    """
    file = str(path)
    form = path.suffix.lower()
    if form not in _FORMS:
        raise UsageError(f"{file}: a {noun} is a file that ends in {', '.join(_FORMS)}")
    text = _text(path)
    content = {".toml": _toml, ".json": _json}.get(form, _yaml)(text, file)
    _check(content, file, "")
    return Table(content, file, keys=keys)


def toml_text(content: Mapping[str, Any]) -> str:
    """Return JSON values as the text of a TOML file: one table per mapping at the top.

    Raises:
        UsageError: a value is ``None``, which TOML has no form for.

    Example:
        >>> print(toml_text({"seed": 1, "loss": {"clip": 0.2, "more": {"a b": [True]}}}), end="")
        seed = 1
        <BLANKLINE>
        [loss]
        clip = 0.2
        more = {"a b" = [true]}
    """
    tables = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    lines = [f"{_toml_key(n)} = {_toml_value(v)}" for n, v in content.items() if n not in tables]
    for name, table in tables.items():
        lines += [""] * bool(lines) + [f"[{_toml_key(name)}]"]
        lines += [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml_value(name)


def _toml_value(value: Any) -> str:
    if value is None:
        raise UsageError("a setting that is null has no form in TOML; leave it out")
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(name)} = {_toml_value(item)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # JSON's forms of texts, numbers and truth values are TOML's; DEL alone must be escaped besides.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8 text") from error


def _toml(text: str, file: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError
        message = str(error)
        found = _TOML_LINE.search(message)
        line = int(found[1]) if found else text.count("\n") + 1
        raise UsageError(f"{file}, line {line}: {_TOML_LINE.sub('', message)}") from error


def _json(text: str, file: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse keys that occur twice, of which JSON would take the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'"{key}" stands twice in one object')
        found[key] = value
    return found


def _yaml(text: str, file: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            f'{file}: YAML needs PyYAML: pip install "memgym[llm]"; or write TOML'
        ) from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_node(node, file, ())
        return loader.construct_document(node) if node else {}
    except UsageError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such date: a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else file
        raise UsageError(f"{where}: {getattr(error, 'problem', None) or error}") from error


def _check_node(node: Any, file: str, parents: tuple[int, ...]) -> None:
    """Refuse keys that occur twice, of which YAML would take the last, and loops of aliases."""
    import yaml

    if not isinstance(node, yaml.CollectionNode):
        return
    line = node.start_mark.line + 1
    if id(node) in parents:
        raise UsageError(f"{file}, line {line}: what stands here contains itself")
    parents = (*parents, id(node))
    seen: dict[str, int] = {}
    for child in node.value:
        if not isinstance(child, tuple):
            _check_node(child, file, parents)
            continue
        key, value = child
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{file}, line {line}: a key must be a text")
        if key.value in seen:
            first = seen[key.value]
            raise UsageError(f'{file}, line {line}: "{key.value}" stands in line {first} already')
        seen[key.value] = line
        _check_node(value, file, parents)


def _check(value: Any, file: str, path: str) -> None:
    """Refuse secrets and what is no JSON value, wherever it stands."""
    where = f"{file}: {path}" if path else file
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                raise UsageError(f"{where}: a key must be a text, got {name!r}; put it in quotes")
            inside = f"{path}.{name}" if path else name
            if is_secret(name, item):  # the message must not repeat it
                raise UsageError(
                    f"{file}: {inside}: a key never stands in a file; put it into an environment "
                    "variable and name that with key_variable (default: OPENAI_API_KEY)"
                )
            _check(item, file, inside)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, file, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: must be a finite number, got {value}")
    elif not isinstance(value, str | int | float | bool | None):
        kind = type(value).__name__
        raise UsageError(f"{where}: a {kind} has no use here; put it in quotes if it is a text")
