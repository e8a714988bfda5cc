"""Parse HogQL with PostHog's own parser, from whichever of its two packages fits this Python.

`hogql-parser` raises the errors of `posthog.hogql.errors`, a module of PostHog's server that no package contains. So a
stub replaces it.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_ERRORS = "BaseHogQLError ExposedHogQLError InternalHogQLError SyntaxError NotImplementedError ParsingError"

#: name -> the least and the most arguments; None is any number. Read off PostHog's posthog/hogql/functions, which is
#: exact about upper and lower case.
FUNCTIONS: dict[str, tuple[int, int | None]] = {
    "argMax": (2, 2),
    "arrayExists": (1, None),
    "arrayFilter": (2, None),
    "arrayJoin": (1, 1),
    "arrayMax": (1, 2),
    "coalesce": (1, None),
    "concat": (2, None),
    "count": (0, 1),
    "countIf": (1, 2),
    "dateDiff": (3, 3),
    "groupArray": (1, 1),
    "groupArrayIf": (2, 2),
    "groupUniqArray": (1, 1),
    "has": (2, 2),
    "if": (3, 3),
    "max": (1, 1),
    "median": (1, 1),
    "min": (1, 1),
    "round": (1, 2),
    "sum": (1, 1),
    "sumIf": (2, 2),
    "toBool": (1, 1),
    "toDate": (1, 1),
    "toFloat": (1, 1),
    "toIntervalDay": (1, 1),
    "toMonth": (1, 1),
    "toStartOfMonth": (1, 1),
    "toStartOfWeek": (1, 2),
    "toYear": (1, 1),
    "today": (0, 0),
    "uniqExact": (1, None),
    "uniqExactIf": (2, None),
}


def parse(query: str) -> dict[str, Any]:
    """Return the syntax tree of a query.

    Raises:
        ValueError: the query is not valid; the message is the parser's.
    """
    parser = _parser()
    try:
        found: dict[str, Any] = json.loads(parser.parse_select_json(query))
    except Exception as error:  # noqa: BLE001  (whatever the stub's errors are)
        raise ValueError(str(error)) from None
    if found.get("error") or found.get("node") not in ("SelectQuery", "SelectSetQuery"):
        raise ValueError(str(found.get("message")))
    return found


def _parser() -> ModuleType:
    if sys.version_info >= (3, 12):
        return importlib.import_module("hogql_parser_rs")
    stub = ModuleType("posthog.hogql.errors")
    for name in _ERRORS.split():
        setattr(stub, name, type(name, (Exception,), {}))
    names = {"posthog.hogql": ModuleType("posthog.hogql"), "posthog.hogql.errors": stub}
    sys.modules.update(names)
    try:
        return importlib.import_module("hogql_parser")
    finally:
        for name in names:
            del sys.modules[name]


def calls(node: Any) -> Iterator[tuple[str, int]]:
    """Yield (name, number of arguments) of every function call in a syntax tree."""
    if isinstance(node, dict) and node.get("node") == "Call":
        yield node["name"], len(node["args"])
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from calls(child)
