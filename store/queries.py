"""Named SQL, in an `.sql` file beside the module that uses it.

`-- name: query_name` opens a block; the comment line below it describes the block.
"""

import re
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Queries:
    """The blocks of one file: `Queries("visits/visits").get_visit` is its text. The file is read on first use."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __getattr__(self, name: str) -> str:
        try:
            return _blocks(self._file)[name]
        except KeyError:
            raise AttributeError(f"no query {name!r} in {self._file}.sql") from None


@cache
def _blocks(file: str) -> dict[str, str]:
    parts = _NAME.split((_HERE / f"{file}.sql").read_text(encoding="utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
