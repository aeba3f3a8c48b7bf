"""The certificate of an acceptance: version, person, time and place, and a fingerprint to check it by. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson


@dataclass(frozen=True)
class Certificate:
    """`text` is exactly the certified text; its sha256 is the fingerprint both sides keep."""

    text: str
    fingerprint: str

    @classmethod
    def of_decision(cls, decision: Mapping[str, Any] | None) -> Self | None:
        """Return the certificate of a decision, None where there is none."""
        if decision is None or not decision.get("certificate"):
            return None
        return cls(decision["certificate"], decision["fingerprint"])

    @property
    def facts(self) -> Mapping[str, Any]:
        """The certificate's fields: accepted_by, accepted_at, content_hash, terms, address, browser and the rest."""
        facts: Mapping[str, Any] = orjson.loads(self.text)
        return facts

    @property
    def is_intact(self) -> bool:
        """Whether the text is the one the fingerprint was taken of."""
        return hashlib.sha256(self.text.encode()).hexdigest() == self.fingerprint

    def certifies(self, content_hash: str) -> bool:
        """Tell whether it is about exactly this content."""
        return self.is_intact and self.facts["content_hash"] == content_hash

    def as_json(self) -> dict[str, Any]:
        """Shape it for both sides to keep: sha256 of `certificate`, byte for byte, is `fingerprint`."""
        return {"certificate": self.text, "fingerprint": self.fingerprint, "facts": self.facts}
