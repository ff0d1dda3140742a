"""What a person types in ``memgym play``, as tool calls: short commands or JSON."""

import json
from typing import Any

from memgym.memory import STORES

__all__ = ["HELP", "read_command"]

HELP = """\
  Enter                      send the calls typed so far; with none, the agent plays this step
  insert semantic TEXT       add an item (or: insert episodic TEXT)
  update s3 TEXT             replace an item
  delete s3                  remove an item
  core TEXT                  replace the core
  search TEXT                look in the memory (keeps the chunk for another turn)
  answer TEXT                answer the question, when one is asked
  {"name": …} or [ … ]       tool calls as JSON
  skip                       make no call in this step
  r 10                       let the agent play 10 steps (r alone: to the end)
  q                          quit
  ?                          this list"""

_STORE_OF = {name[0]: name for name in STORES}


def read_command(line: str) -> list[Any] | str:
    """Return the tool calls that a line stands for, or what is wrong with it.

    Whether a call can be done is for the environment to say; only its form is looked at here.
    """
    line = line.strip()
    if line[:1] in ("[", "{"):
        return _json(line)
    word, _, rest = line.partition(" ")
    reader = _READERS.get(word.lower())
    if reader is None:
        return f'unknown command "{word}"; ? lists them'
    call = reader(rest.strip())
    return call if isinstance(call, str) else [call]


def _json(line: str) -> list[Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return value if isinstance(value, list) else [value]


def _insert(rest: str) -> dict[str, Any] | str:
    kind, _, text = rest.partition(" ")
    if not text.strip():
        return "write: insert semantic TEXT, or insert episodic TEXT"
    return _call("new_memory_insert", memory_type=kind, content=text.strip())


def _update(rest: str) -> dict[str, Any] | str:
    memory_id, _, text = rest.partition(" ")
    kind = _STORE_OF.get(memory_id[:1])
    if kind is None or not text.strip():
        return "write: update s3 TEXT, with the id of an item"
    return _call("memory_update", memory_type=kind, memory_id=memory_id, new_content=text.strip())


def _delete(rest: str) -> dict[str, Any] | str:
    if rest == "core":
        return _call("memory_delete", memory_type="core")
    kind = _STORE_OF.get(rest[:1])
    if kind is None:
        return "write: delete s3, with the id of an item, or delete core"
    return _call("memory_delete", memory_type=kind, memory_id=rest)


def _core(rest: str) -> dict[str, Any] | str:
    if not rest:
        return "write: core TEXT"
    return _call("memory_update", memory_type="core", new_content=rest)


def _search(rest: str) -> dict[str, Any] | str:
    return _call("search_memory", query=rest) if rest else "write: search TEXT"


def _answer(rest: str) -> dict[str, Any] | str:
    return _call("answer", text=rest) if rest else "write: answer TEXT"


def _call(name: str, **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


_READERS = {
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "core": _core,
    "search": _search,
    "answer": _answer,
}
