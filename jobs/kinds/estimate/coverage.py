"""Says in plain sentences which media were looked at. Pure; a contractor reads it above the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.kinds.estimate.material import Material, Medium
    from jobs.kinds.estimate.model import Draft
    from jobs.kinds.estimate.steps.analyze_media import Findings


def describe(material: Material, findings: Findings, draft: Draft) -> tuple[str, ...]:
    """Return the estimate's coverage notes."""
    return (*media_notes(material, findings), *draft.notes_on_coverage)


def media_notes(material: Material, findings: Findings) -> Iterator[str]:
    """Name the media that could not be used, were silent, or were not looked at."""
    for medium in material.media:
        problem = medium.problem or findings.problems.get(medium.media_id)
        note = medium.note or findings.notes.get(medium.media_id)
        if problem:
            yield f"{name_of(medium, material)} could not be used: {problem}"
        elif note:
            yield f"{name_of(medium, material)}: {note}"
    silent = [t for t in findings.transcripts.values() if not t.heard]
    if silent:
        yield f"Nothing was heard in {count(len(silent), 'recording')}."
    unseen = _unseen(material, findings)
    if unseen:
        verb = "was" if len(unseen) == 1 else "were"
        yield f"{count(len(unseen), 'photo')} {verb} not analysed; only typed labels and print were read."
    unread = [seen for seen in findings.observations.values() if seen.note]
    if unread:
        reasons = " and ".join(dict.fromkeys(seen.note for seen in unread if seen.note))
        yield f"Text on {len(unread)} of {count(len(material.photos), 'photo')} could not be read: {reasons}."


def name_of(medium: Medium, material: Material) -> str:
    """Name a medium as the capture page numbers it: "Recording 2"."""
    same = material.photos if medium.kind == "photo" else material.recordings
    return f"{'Photo' if medium.kind == 'photo' else 'Recording'} {same.index(medium) + 1}"


def count(number: int, noun: str) -> str:
    """Write "1 line", "3 lines"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unseen(material: Material, findings: Findings) -> Sequence[Medium]:
    seen = {media_id for media_id, seen in findings.observations.items() if seen.analysed}
    return [
        photo
        for photo in material.photos
        if photo.media_id not in seen and not photo.problem and photo.media_id not in findings.problems
    ]
