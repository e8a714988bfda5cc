"""Run a ClickHouse in this process, with the table `events` as HogQL shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chdb.session import Session

from onramp_analytics import events

#: The properties of the catalog as columns. PostHog shows a property as a string until it has noticed the property's
#: type, and afterwards as a boolean or a float. A query must work with both.
NOTICED = {"success": "Bool", "has_scaffold": "Bool", "duration_ms": "Float64"}
PROPERTIES = sorted({p.name for entry in events.EVENTS.values() for p in entry.properties} | set(events.FIXED))
#: HogQL's own functions, as it prints them.
FUNCTIONS = {"toFloat": "accurateCastOrNull(x, 'Float64')", "toInt": "accurateCastOrNull(x, 'Int64')"}


class ClickHouse:
    """The database. chdb allows one session per process, so a new one replaces the tables of the last."""

    def __init__(self, rows: Iterable[dict[str, Any]], types: dict[str, str] = NOTICED) -> None:
        """Load events.

        Args:
            rows: the events as the receiver accepted them, with the time of their arrival as `created_at`.
            types: property -> its type, for the properties whose type PostHog has detected.
        """
        self._session = _session()
        for name, body in FUNCTIONS.items():
            self._session.query(f"create or replace function {name} as (x) -> {body}")
        columns = ", ".join(f"`{name}` Nullable({types.get(name, 'String')})" for name in PROPERTIES)
        self._session.query("drop table if exists events")
        self._session.query(
            "create table events (uuid UUID, event String, distinct_id String, timestamp DateTime64(6, 'UTC'), "
            f"created_at DateTime64(6, 'UTC'), properties Tuple({columns})) engine = Memory"
        )
        text = "\n".join(json.dumps(row) for row in rows)
        self._session.query(
            f"insert into events settings input_format_skip_unknown_fields = 1, date_time_input_format = 'best_effort' "
            f"format JSONEachRow {text}"
        )

    def ask(self, query: str) -> tuple[list[str], list[list[Any]]]:
        """Return the columns and the rows of an answer.

        Raises:
            ValueError: the query is not valid; the message is ClickHouse's.
        """
        try:
            said = str(self._session.query(query, "JSONCompact"))
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        found = json.loads(said)
        types = [column["type"] for column in found["meta"]]
        rows = [[_value(v, t) for v, t in zip(row, types, strict=True)] for row in found["data"]]
        return [column["name"] for column in found["meta"]], rows


def _value(value: Any, kind: str) -> Any:
    return int(value) if isinstance(value, str) and "Int" in kind else value


_one: list[Session] = []


def _session() -> Session:
    if not _one:
        _one.append(Session())
    return _one[0]
