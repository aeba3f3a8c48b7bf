"""Follow a visit's progress: an async iterator of typed events that survives lost connections."""

from scopekit_progress.events import SnapshotEvent, VisitEvent
from scopekit_progress.stream import Refused, StreamEnded, follow, ticket_for

__all__ = ["Refused", "SnapshotEvent", "StreamEnded", "VisitEvent", "follow", "ticket_for"]
__version__ = "0.2.0"
