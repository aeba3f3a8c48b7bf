// One run of the estimate as a value: events in, what to show out. No page and no network in here.

export const STEPS = ["gather", "transcribe", "look", "draft", "price", "total", "save"];
const ACTIVE = ["queued", "running", "retrying"];

/** {jobId, status, attempt, maxAttempts, since, until, steps, lines, error, correlationId, runAt, position, cancelling, stalled} */
export function runOf(job) {
  return {
    jobId: job.id,
    status: job.status === "queued" && job.attempts > 0 ? "retrying" : job.status,
    attempt: Math.max(1, job.attempts ?? 1),
    maxAttempts: job.max_attempts ?? 3,
    since: job.created_at,
    until: job.finished_at ?? null,
    steps: {},
    lines: [],
    error: job.last_error ?? "",
    code: job.error_code ?? "",
    correlationId: job.correlation_id ?? "",
    runAt: job.run_at ?? null,
    position: job.position ?? null,
    cancelling: Boolean(job.cancel_requested),
    stalled: job.stalled ?? null,
  };
}

export const isActive = (run) => run !== null && ACTIVE.includes(run.status);

/** Steps as a snapshot tells them; a step already further on by its events stays there. */
export function withSteps(run, steps) {
  const merged = { ...run.steps };
  for (const [name, { done, total, status }] of Object.entries(steps ?? {})) {
    const known = merged[name] ?? {};
    merged[name] = { ...known, done: Math.max(done ?? 0, known.done ?? 0), total: total ?? known.total ?? null,
      status: known.status === "completed" ? known.status : statusOf(status) };
  }
  return { ...run, steps: merged };
}

/** The next run after `event`; events of other jobs and unknown types change nothing. */
export function advance(run, event) {
  if (event.job_id !== run.jobId) return run;
  const moved = { ...run, stalled: null };
  return MOVES[event.type]?.(moved, event.payload, event) ?? run;
}

const MOVES = {
  "job.queued": (run, { run_at, correlation_id }, event) =>
    ({ ...run, status: "queued", since: event.created_at, runAt: run_at ?? null, correlationId: correlation_id ?? run.correlationId }),
  "job.started": (run, { attempt }) => ({ ...run, status: "running", attempt: attempt ?? run.attempt, error: "", position: null }),
  "step.started": (run, { step, count }) => {
    const lines = step === "draft" ? [] : run.lines; // a second attempt drafts afresh
    return { ...setStep(run, step, { status: "running", done: 0, total: count ?? null }), lines };
  },
  "step.progress": (run, { step, done, total, item }) => setStep(run, step, { status: "running", done, total, item }),
  "step.completed": (run, { step, ms }) => {
    const { total } = run.steps[step] ?? {};
    return setStep(run, step, { status: "completed", ms, done: total ?? 0, item: null });
  },
  "line.drafted": (run, line) => ({ ...run, lines: [...run.lines, line] }),
  "job.retrying": (run, { error, attempt, run_at }) =>
    ({ ...withoutHalfADraft(run), status: "retrying", error, attempt, runAt: run_at }),
  "job.stalled": (run, { reason }) => ({ ...run, stalled: reason }),
  "job.released": (run) => ({ ...withoutHalfADraft(run), status: "queued" }),
  "job.completed": (run, _payload, event) => ({ ...run, status: "completed", until: event.created_at }),
  "job.failed": (run, { error, code, correlation_id }, event) =>
    ({ ...withoutHalfADraft(run), status: "failed", error, code, correlationId: correlation_id ?? run.correlationId,
      until: event.created_at }),
  // A cancelled job's checkpoints go with it, a whole draft too: the next run begins anew.
  "job.cancelled": (run, _payload, event) => ({ ...run, status: "cancelled", lines: [], until: event.created_at }),
};

/** A draft that broke off was thrown away, and so are the lines that were shown of it. */
function withoutHalfADraft(run) {
  return run.steps.draft?.status === "completed" ? run : { ...run, lines: [] };
}

function setStep(run, name, change) {
  return { ...run, steps: { ...run.steps, [name]: { ...run.steps[name], ...change } } };
}

const statusOf = (status) => (["completed", "done"].includes(status) ? "completed" : "running");
