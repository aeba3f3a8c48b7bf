"""Asks an endpoint once for its models, so that a missing one is named before anything is paid for."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import openai

from jobs.kinds.estimate.engines.openai.errors import as_ours
from jobs.kinds.estimate.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = 8
# Not every compatible endpoint lists its models; then the call itself has to show what is there.
_TELLS_NOTHING = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
)


class Probe:
    """One endpoint's offer; `wanted` is the model of each setting."""

    def __init__(self, client: openai.AsyncOpenAI, wanted: Mapping[str, str]) -> None:
        self._client = client
        self._wanted = wanted
        self._offer: set[str] | None = None

    async def require(self, setting: str) -> None:
        """Raise `Misconfigured`, naming the setting, when the endpoint does not offer its model.

        Only the model that a visit needs is asked for.
        """
        if self._offer is None:
            self._offer = await self._offered()
        model = self._wanted[setting]
        if self._offer and model not in self._offer:
            some, self._offer = ", ".join(sorted(self._offer)[:_NAMED]), None
            raise Misconfigured(f"The endpoint has no model “{model}” ({setting}). It offers: {some}.")

    async def _offered(self) -> set[str]:
        with as_ours("list of models"):
            try:
                return {model.id async for model in self._client.models.list()}
            except openai.APIStatusError as error:
                if error.status_code in _TELLS_NOTHING:
                    return set()
                raise
