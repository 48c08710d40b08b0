"""The reviewed schema: inferred once, kept in HOME as text, changed only when a person accepts it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from components.contract.errors import WaymarkError
from components.contract.files import atomic_file
from components.validate.files import append
from components.validate.profile import folder
from components.validate.statistics import BIN

TABLES = ("events", "pages", "associates")
# Domains that were seen, and not laid down by the contract: a value outside is news, no fault.
SEEN = "seen_"
_CONTRACT = Path(__file__).parent / "schema"
_LIST_LENGTH = 100
_HEADER = """# Schema of the {table} table: TFDV text format, read by the validate step. Edit it by hand, or
# accept a proposal: python -m components.validate schema accept --home HOME. Domains "seen_..." hold
# the values seen so far; one more is reported, and does not stop a run. The others are the contract's.
"""


def read(table: str, home: Path | None = None) -> Any:
    """Read the schema in force: HOME's, or the contract's before the first run.

    Raises
    ------
    WaymarkError
        HOME's file is no schema.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    own = _file(home, table) if home else None
    file = own if own and own.is_file() else _CONTRACT / f"{table}.pbtxt"
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise WaymarkError(
            f"{file}: no TFDV schema: {error}. Correct it, or delete it to infer it anew."
        ) from error


def _file(home: Path, table: str) -> Path:
    return folder(home) / "schema" / f"{table}.pbtxt"


def _proposed(home: Path, table: str) -> Path:
    return folder(home) / "schema" / "proposed" / f"{table}.pbtxt"


def propose(schema: Any, statistics: Any, categories: Sequence[str]) -> Any:
    """Extend a schema by what statistics show: new columns, columns that have values, new values.

    What the contract lays down (types, ranges, its domains) stays; nothing is taken away.

    Parameters
    ----------
    schema : Schema
    statistics : DatasetFeatureStatisticsList
    categories : sequence of str
        Columns whose values are listed; extra columns are, if they have few.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    inferred = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=_LIST_LENGTH)
    values = {domain.name: list(domain.value) for domain in inferred.string_domain}
    own = {feature.name for feature in schema.feature}
    result = Schema()
    result.CopyFrom(schema)
    features = {feature.name: feature for feature in result.feature}
    domains = {domain.name: domain for domain in result.string_domain}
    for found in inferred.feature:
        if found.name.endswith(BIN) or not found.presence.min_count:
            continue
        feature = features.get(found.name)
        if feature is None:
            feature = result.feature.add(name=found.name, type=found.type)
        if not feature.HasField("presence"):
            feature.presence.min_count = 1
        listed = found.name in categories or found.name not in own or feature.domain.startswith(SEEN)
        if found.type != 1 or not listed or found.domain not in values:
            continue
        if not feature.domain:
            feature.domain = SEEN + found.name
            domains[feature.domain] = result.string_domain.add(name=feature.domain)
        if feature.domain.startswith(SEEN):
            domain = domains[feature.domain]
            new = sorted(set(values[found.domain]) - set(domain.value))
            domain.value.extend(new)
    return result


def changes(before: Any, after: Any) -> list[str]:
    """Say in words what differs between two schemas of a table.

    Examples
    --------
    >>> from tensorflow_metadata.proto.v0.schema_pb2 import Schema
    >>> old, new = Schema(), Schema()
    >>> feature = new.feature.add(name="level", type="BYTES", domain="seen_level")
    >>> new.string_domain.add(name="seen_level").value.extend(["easy", "hard"])
    >>> changes(old, new)
    ['+ level: new column, BYTES; values easy, hard']
    """
    lines = []
    old, new = ({feature.name: feature for feature in schema.feature} for schema in (before, after))
    old_values, new_values = (
        {domain.name: set(domain.value) for domain in schema.string_domain} for schema in (before, after)
    )
    lines += [f"- {name}: column taken out" for name in old.keys() - new.keys()]
    for name, feature in new.items():
        then = old.get(name)
        values = new_values.get(feature.domain, set())
        known = old_values.get(then.domain, set()) if then is not None else set()
        kind = type(feature).DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[feature.type].name
        parts = [f"new column, {kind}"] if then is None else []
        if then is not None and then.type != feature.type:
            parts.append(f"type {kind}")
        if then is not None and feature.presence != then.presence:
            share = feature.presence.min_fraction
            parts.append(f"filled in {share:.0%} of rows" if share else "must have some value")
        if values - known:
            parts.append(f"values {', '.join(sorted(values - known))}")
        if known - values:
            parts.append(f"no longer {', '.join(sorted(known - values))}")
        limits = ("float_domain", "int_domain")
        if then is not None and any(getattr(feature, field) != getattr(then, field) for field in limits):
            parts.append("another range")
        if parts:
            lines.append(f"{'+' if then is None else '~'} {name}: {'; '.join(parts)}")
    return sorted(lines)


def _write(file: Path, table: str, schema: Any) -> None:
    from google.protobuf import text_format

    with atomic_file(file) as aside:
        text = _HEADER.format(table=table) + text_format.MessageToString(schema)
        aside.write_text(text, encoding="utf-8")


def review(
    home: Path, statistics: Mapping[str, Any], categories: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Write a proposal for each table whose statistics ask for one; nothing in force changes.

    Returns
    -------
    dict
        What the proposal of each table would change, in words.
    """
    asked = {}
    for table, found in statistics.items():
        schema = read(table, home)
        proposal = propose(schema, found, categories.get(table, ()))
        lines = changes(schema, proposal)
        if lines:
            _write(_proposed(home, table), table, proposal)
            asked[table] = lines
        else:
            _proposed(home, table).unlink(missing_ok=True)
    return asked


def begin(home: Path) -> bool:
    """Put the first run's proposals into force; later ones wait for a person. Whether this was the first."""
    waiting = [table for table in TABLES if _proposed(home, table).is_file()]
    first = not any(_file(home, table).is_file() for table in TABLES)
    if first:
        for table in waiting:
            _proposed(home, table).replace(_file(home, table))
    return first and bool(waiting)


def proposals(home: Path) -> dict[str, list[str]]:
    """What the proposal of each table would change."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    found = {}
    for table in TABLES:
        if (file := _proposed(home, table)).is_file():
            found[table] = changes(
                read(table, home), text_format.Parse(file.read_text(encoding="utf-8"), Schema())
            )
    return found


def accept(home: Path, tables: Sequence[str], by: str) -> dict[str, list[str]]:
    """Put proposals into force and record who did.

    Raises
    ------
    WaymarkError
        A table has no proposal.
    """
    waiting = proposals(home)
    for table in tables:
        if table not in waiting:
            raise WaymarkError(
                f"{table}: no schema is proposed; proposed are: {', '.join(waiting) or 'none'}"
            )
    chosen = {table: waiting[table] for table in (tables or waiting)}
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for table, lines in chosen.items():
        append(
            folder(home) / "schema" / "accepted.jsonl",
            orjson.dumps({"at": at, "by": by, "table": table, "changes": lines}),
        )
        _proposed(home, table).replace(_file(home, table))
    return chosen
