"""Any moves in any order: the database's functions against a dict that says what they must do.

`pytest --hypothesis-profile deep tests/jobs/queue/test_model.py` tries twenty times as many.
"""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from benchmarks.queue_faults.history import walk
from jobs.queue.states import State
from tests.jobs.worker.machine import QueueMachine
from tests.stack import Services

# All of it in one statement, which is one snapshot.
EVERYTHING = """
SELECT (SELECT coalesce(jsonb_agg(to_jsonb(j)), '[]') FROM ai_jobs j WHERE tenant_id = $1) AS jobs,
       (SELECT coalesce(jsonb_agg(to_jsonb(d)), '[]') FROM ai_jobs_dlq d WHERE tenant_id = $1) AS letters,
       (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.visit_id, e.seq), '[]') FROM processing_events e
        WHERE tenant_id = $1) AS events,
       (SELECT coalesce(jsonb_agg(to_jsonb(v)), '[]') FROM visit_streams v WHERE tenant_id = $1) AS streams,
       (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM job_steps s WHERE tenant_id = $1) AS checkpoints,
       (SELECT coalesce(jsonb_agg(to_jsonb(a)), '[]') FROM analytics_events a WHERE tenant_id = $1) AS results
"""


class ComparedMachine(QueueMachine):
    """Compares everything that is left after every move."""

    @invariant()
    def the_database_agrees(self) -> None:
        """Compare every table with the model."""
        row = self.runner.run(self.admin.fetchrow(EVERYTHING, self.tenant.id))
        assert row is not None
        self._places(row["jobs"], row["letters"])
        self._streams(row["events"], row["streams"])
        kept = {(UUID(step["job_id"]), step["step"]) for step in row["checkpoints"]}
        assert kept == {(job_id, step) for job_id, job in self.model.jobs.items() for step in job.checkpoints}
        results = sorted(result["properties"]["job_id"] for result in row["results"])
        done = [str(job_id) for job_id, job in self.model.jobs.items() if job.state is State.COMPLETED]
        assert results == sorted(done)

    def _places(self, rows: list[dict[str, Any]], letters: list[dict[str, Any]]) -> None:
        """Hold that each job is in one place, as the model has it."""
        live = {UUID(row["id"]): row for row in rows}
        waiting = {UUID(row["original_job_id"]): row for row in letters if row["retried_at"] is None}
        assert live.keys() & waiting.keys() == set()
        assert live.keys() | waiting.keys() == self.model.jobs.keys()
        for job_id, job in self.model.jobs.items():
            assert len([row for row in letters if UUID(row["original_job_id"]) == job_id]) == job.letters
            row = waiting[job_id] if job.state is State.FAILED else live[job_id]
            assert row["attempts"] == job.attempts
            if job.state is not State.FAILED:
                token = None if row["lease_token"] is None else UUID(row["lease_token"])
                assert (row["status"], token, row["lost_leases"]) == (job.state, job.token, job.lost_leases)
                assert (row["cancel_requested_at"] is not None) == job.cancel_requested

    def _streams(self, events: list[dict[str, Any]], streams: list[dict[str, Any]]) -> None:
        """Hold that each visit's numbers are whole and as many as the model told, and that no job's events lie."""
        heads = {UUID(row["visit_id"]): row["last_seq"] for row in streams}
        assert heads == dict(self.model.events)
        for visit_id, last in heads.items():
            numbers = [row["seq"] for row in events if UUID(row["visit_id"]) == visit_id]
            assert numbers == list(range(1, last + 1))
        for job_id, job in self.model.jobs.items():
            history = walk([(row["type"], row["payload"]) for row in events if UUID(row["job_id"]) == job_id])
            assert (history.wrong, history.state) == ([], job.state)


@pytest.mark.timeout(600)
def test_the_database_does_what_the_model_says(services: Services) -> None:
    """Whatever is done to the queue, in whatever order."""
    # An example is up to fifty moves of some ten statements each.
    assert settings.default is not None
    examples = settings(max_examples=settings.default.max_examples // 4, suppress_health_check=list(HealthCheck))

    class Machine(ComparedMachine):
        """At this database."""

        def __init__(self) -> None:
            super().__init__(services)

    run_state_machine_as_test(Machine, settings=examples)
