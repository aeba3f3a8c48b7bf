"""A customer's input: a small form or the same as JSON."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from gateway.http.input.text import OneLine
from gateway.shares.link_secrets import SECRET_LENGTH
from store.documents.signature import MAX_LENGTH, PATTERN, require_signature
from store.shares.shares import Said

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class OpenForm(BaseModel):
    """Opening: a passcode where one is asked for, and the page's own secret, the same for a second click."""

    model_config = ConfigDict(extra="ignore")

    passcode: Annotated[str, StringConstraints(max_length=64)] = ""
    once: Annotated[str, StringConstraints(pattern=rf"^(|[A-Za-z0-9_-]{{{SECRET_LENGTH}}})$")] = ""


class QuestionForm(BaseModel):
    """A question; it decides nothing."""

    model_config = ConfigDict(extra="ignore")

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
    name: Annotated[OneLine, StringConstraints(strip_whitespace=True, max_length=200)] = ""


class DecisionForm(BaseModel):
    """A decision: accepting needs a name, asking for changes needs to say which."""

    model_config = ConfigDict(extra="ignore")

    decision: Literal["accepted", "declined", "changes_requested"]
    content_hash: Sha256
    terms_hash: Sha256
    name: Annotated[OneLine, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    message: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    signature: Annotated[str, StringConstraints(max_length=MAX_LENGTH, pattern=PATTERN)] = ""
    option: Annotated[str, StringConstraints(max_length=60)] | None = None
    selection_hash: Sha256 | None = None

    @property
    def said(self) -> Said:
        """The recorded part of it."""
        return Said(**self.model_dump())

    @model_validator(mode="after")
    def _complete(self) -> "DecisionForm":
        if self.decision == "accepted" and not self.name:
            raise ValueError("Enter your name to accept the estimate.")
        if self.signature:
            require_signature(self.signature)
        if self.decision == "changes_requested" and not self.message:
            raise ValueError("Tell us what should change.")
        return self
