"""Reading a TOML or YAML file into plain values, and taking checked values out of it.

Every error names the file and the line or the key. What the keys mean is not known here.
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.secret_settings import is_secret

__all__ = ["Table", "read_config"]

_FORMS = (".toml", ".yaml", ".yml")
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


def read_config(path: Path, keys: Iterable[str]) -> Table:
    """Return the content of a file that ends in ``.toml``, ``.yaml`` or ``.yml``.

    Args:
        path: The file.
        keys: The keys that may stand at its top.

    Raises:
        UsageError: it cannot be read, has a mistake in it, holds a value that JSON has no form for,
            or holds a key or password.
    """
    file = str(path)
    if path.suffix.lower() not in _FORMS:
        raise UsageError(f"{file}: a comparison is a file that ends in {', '.join(_FORMS)}")
    text = _text(path)
    content = _toml(text, file) if path.suffix.lower() == ".toml" else _yaml(text, file)
    _check(content, file, "")
    return Table(content, file, keys=keys)


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
