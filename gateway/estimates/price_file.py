"""The price book as a CSV file: read with every error named by its line, written as spreadsheets take it. Pure."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.http.body import Trimmed
from gateway.http.input.field_errors import explain
from gateway.http.input.number_fields import Price
from gateway.http.input.text import OneLine
from store.errors import InvalidInput, Unprocessable
from store.estimates.price_book import COLUMNS, NewItem

MOST_ROWS = 50_000
_ERRORS_TOLD = 100
_NEEDED = {"description", "unit", "unit_price"}
# A spreadsheet runs a cell that begins like this; an apostrophe before it makes it text again. Words that begin with
# apostrophes before it get one more, so that who reads may take one away and has what was written.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class NewPriceItem(BaseModel):
    """An item for the price book."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[OneLine, Trimmed, Field(max_length=64)] = ""
    description: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=500)]
    category: Annotated[OneLine, Trimmed, Field(max_length=100)] = ""
    unit: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=32)]
    unit_price: Price


class PriceItemChange(BaseModel):
    """Changes of an item; a field left out, or null, stays as it is."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[OneLine, Trimmed, Field(max_length=64)] | None = None
    description: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=500)] | None = None
    category: Annotated[OneLine, Trimmed, Field(max_length=100)] | None = None
    unit: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=32)] | None = None
    unit_price: Price | None = None


def read_file(content: bytes) -> list[NewItem]:
    """Read a file with a header line; columns may come in any order, others are ignored.

    Raises `InvalidInput` for any other file, and `Unprocessable`, with `errors: [{line, field, message}]`, when
    any line cannot be used.
    """
    items: list[NewItem] = []
    errors: list[dict[str, Any]] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, row in _rows(content):
        try:
            item = NewItem(**NewPriceItem.model_validate(_cells(row)).model_dump())
        except ValidationError as error:
            errors += [{"line": line, **problem} for problem in explain(error)]
            continue
        errors += _twice(item, line, seen)
        items.append(item)
    if errors:
        raise Unprocessable(f"Nothing was imported: {_many(len(errors))}; see errors.", errors=errors[:_ERRORS_TOLD])
    if not items:
        raise InvalidInput("The file holds no items.")
    return items


def write_file(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the file line by line."""
    for values in ([*COLUMNS], *([_inert(str(row[name])) for name in COLUMNS] for row in rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(values)
        yield line.getvalue()


def _rows(content: bytes) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    """Yield each row and its line; those that cannot be used count too, for each has errors to be told."""
    reader = _reader(content)
    try:
        for count, row in enumerate(reader):
            if count == MOST_ROWS:
                raise InvalidInput(f"A file may hold at most {MOST_ROWS:,} items; send it in parts.")
            yield reader.line_num, row
    except csv.Error:
        raise _unreadable(reader.line_num) from None


def _reader(content: bytes) -> "csv.DictReader[str]":
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("The file is not UTF-8 text. Save it as “CSV UTF-8”.") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter)
    try:
        names = [(name or "").strip().lower().replace(" ", "_") for name in reader.fieldnames or ()]
    except csv.Error:
        raise _unreadable(1) from None
    if missing := sorted(_NEEDED - set(names)):
        raise InvalidInput(f"The first line must name the columns; missing: {', '.join(missing)}.")
    reader.fieldnames = names
    return reader


def _unreadable(line: int) -> InvalidInput:
    return InvalidInput(f"The file cannot be read as CSV near line {line}. Save it again as “CSV UTF-8”.")


def _cells(row: Mapping[Any, Any]) -> dict[str, str]:
    cells = {name: str(row.get(name) or "").strip() for name in COLUMNS if name in row}
    return {name: text[1:] if text[:1] == "'" and _would_run(text) else text for name, text in cells.items()}


def _twice(item: NewItem, line: int, seen: dict[tuple[str, ...], int]) -> list[dict[str, Any]]:
    key = (item.code.lower(),) if item.code else (item.description.lower(), item.unit.lower())
    first = seen.setdefault(key, line)
    if first == line:
        return []
    field = "code" if item.code else "description"
    return [{"line": line, "field": field, "message": f"Duplicate of line {first}."}]


def _inert(text: str) -> str:
    return f"'{text}" if _would_run(text) else text


def _would_run(text: str) -> bool:
    # Spreadsheets read a full-width \uff1d as the sign it stands for.
    return unicodedata.normalize("NFKC", text.lstrip("'")).startswith(_FORMULA)


def _many(count: int) -> str:
    return "one field cannot be used" if count == 1 else f"{count} fields cannot be used"
