"""All kinds of jobs. To add one: a file beside this one, and a line here."""

from jobs.kinds.estimate.kind import ESTIMATE
from jobs.kinds.mail import MAIL
from jobs.queue.kind import Kind

KINDS: tuple[Kind, ...] = (ESTIMATE, MAIL)
