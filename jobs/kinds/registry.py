"""All kinds of jobs. To add one: a file beside this one, and a line here."""

from jobs.kinds.deliveries import ANALYTICS_DELIVERY
from jobs.kinds.estimate.kind import ESTIMATE
from jobs.kinds.mail.kind import MAIL
from jobs.kinds.maintenance import MAINTENANCE
from jobs.kinds.thumbnails import PHOTO_JPEGS
from jobs.kinds.webhook import WEBHOOK
from jobs.queue.kind import Kind

KINDS: tuple[Kind, ...] = (
    ESTIMATE,
    PHOTO_JPEGS,
    MAIL,
    ANALYTICS_DELIVERY,
    WEBHOOK,
    *MAINTENANCE,
)
