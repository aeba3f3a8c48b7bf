"""The main job by the generated client of Python: prints the customer's link."""

# mypy: ignore-errors
import sys
import time
from pathlib import Path
from uuid import uuid4

from scopekit_client import AuthenticatedClient
from scopekit_client.api.estimates import get_latest_estimate, request_estimate
from scopekit_client.api.jobs import get_job
from scopekit_client.api.media import upload_media
from scopekit_client.api.shares import create_share
from scopekit_client.api.visits import create_visit, list_visits
from scopekit_client.models import EstimateRequest, ShareOrder, VisitFields
from scopekit_client.types import File

url, token, photo = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
fields = VisitFields(title="Kitchen", customer_name="Maria Lopez", notes="Replace three GFCI outlets.")
visit = create_visit.sync(client=client, body=fields, idempotency_key=str(uuid4()))
with Path(photo).open("rb") as payload:
    upload_media.sync(visit.id, client=client, body=File(payload=payload))
job = request_estimate.sync(visit.id, client=client, body=EstimateRequest())
while job.status in ("queued", "running"):
    time.sleep(0.2)
    job = get_job.sync(job.id, client=client)
assert job.status == "completed", job.message
estimate = get_latest_estimate.sync(visit.id, client=client)
share = create_share.sync(estimate.id, client=client, body=ShareOrder(recipient="Maria Lopez"))
assert visit.id in {each.id for each in list_visits.sync(client=client).visits}
print(share.url)  # noqa: T201 - what it is for
