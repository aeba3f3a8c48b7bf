// The main job by the generated client: a visit, a photo, an estimate, an edit, a share.

import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [url, token, photo] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${token}` } });

/** Return the answer, or end the run with the problem's code. */
function answered<T>({ data, error }: { data?: T; error?: components["schemas"]["Problem"] | string }): T {
  if (data === undefined) throw new Error(typeof error === "string" ? error : `${error?.code}: ${error?.detail}`);
  return data;
}

const key = crypto.randomUUID();
const makeVisit = () =>
  client.POST("/v1/visits", {
    params: { header: { "Idempotency-Key": key } },
    body: { title: "Kitchen", customer_name: "Maria Lopez", notes: "Replace three GFCI outlets.", metadata: { source: "crm" } },
  });
const visit = answered(await makeVisit());
if (answered(await makeVisit()).id !== visit.id) throw new Error("a repeated request made another visit");
const path = { visit_id: visit.id };

const bytes = await readFile(photo);
const medium = answered(
  await client.POST("/v1/visits/{visit_id}/media", {
    params: { path },
    headers: { "content-type": "image/jpeg" },
    body: bytes as unknown as string,
    bodySerializer: (body) => body as unknown as BodyInit,
  }),
);
if (medium.content_type !== "image/jpeg") throw new Error(`the photo is ${medium.content_type}`);

let job = answered(await client.POST("/v1/visits/{visit_id}/estimate", { params: { path }, body: {} }));
while (job.status === "queued" || job.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 200));
  job = answered(await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: job.id } } }));
}
if (job.status !== "completed") throw new Error(`the job is ${job.status}: ${job.message}`);

const read = await client.GET("/v1/visits/{visit_id}/estimate", { params: { path } });
const estimate = answered(read);
const edit = { params: { path: { estimate_id: estimate.id }, header: { "If-Match": read.response.headers.get("etag")! } } };
const lines = estimate.lines.map((line) => ({ ...line, unit_price: line.unit_price ?? "10.00" }));
const edited = answered(await client.PUT("/v1/estimates/{estimate_id}/lines", { ...edit, body: { lines } }));
if (edited.version !== estimate.version + 1) throw new Error("the edit made no version");
const stale = await client.PUT("/v1/estimates/{estimate_id}/lines", { ...edit, body: { lines: lines.slice(0, 1).map((line) => ({ ...line, quantity: "7" })) } });
if ((stale.error as components["schemas"]["Problem"]).code !== "version_mismatch") throw new Error("a stale edit was taken");

const share = answered(
  await client.POST("/v1/estimates/{estimate_id}/shares", {
    params: { path: { estimate_id: edited.id } },
    body: { recipient: "Maria Lopez", expires_in: 86400 },
  }),
);
if (!share.url.startsWith("http")) throw new Error(`the link is ${share.url}`);
const page = answered(await client.GET("/v1/visits", { params: { query: { state: ["sent"], limit: 1 } } }));
if (page.visits[0]?.id !== visit.id) throw new Error("the visit is not listed as sent");
console.log(JSON.stringify({ visit: visit.id, total: edited.total, share: share.id }));
