"""Names of the public API's operations: what a person would call the function, and the tag that it stands under."""

from collections.abc import Mapping

# In the order in which a reader meets them.
TAGS: Mapping[str, str] = {
    "Visits": "A visit to a site: everything else hangs on it.",
    "Media": "Photos and recordings of a visit, sent in one request or straight to the store.",
    "Resumable uploads": "Uploads that survive a bad line, by tus 1.0: use any tus client.",
    "Recordings": "A recording that is sent in chunks while it is being made.",
    "Estimates": "Estimates, their versions and their edits.",
    "Jobs": "The work on an estimate: where it stands, and how to stop it.",
    "Progress": "What happens at visits: as server-sent events, and page by page.",
    "Shares": "Links by which customers read and answer an estimate.",
    "Price book": "What a company sells, and for how much.",
    "Changes": "A feed for systems that keep a copy.",
    "Webhooks": "Events that are delivered to your server, signed by the Standard Webhooks specification.",
    "Company": "The caller, and the branding of the company's documents.",
    "Aliases": "Addresses of the operations runbook. They stay; new clients use those under `/v1`.",
}

_BY_TAG: Mapping[str, Mapping[str, str]] = {
    "Visits": {
        "GET /v1/visits": "listVisits",
        "POST /v1/visits": "createVisit",
        "GET /v1/visits/{visit_id}": "getVisit",
        "PATCH /v1/visits/{visit_id}": "updateVisit",
        "POST /v1/visits/{visit_id}/sync-events": "reportSyncEvent",
        "GET /v1/visits/{visit_id}/sync-events": "listSyncEvents",
        "GET /v1/visits/{visit_id}/sync-events/{event_id}": "getSyncEvent",
    },
    "Media": {
        "GET /v1/visits/{visit_id}/media": "listMedia",
        "POST /v1/visits/{visit_id}/media": "uploadMedia",
        "POST /v1/visits/{visit_id}/media/check": "checkMedia",
        "GET /v1/visits/{visit_id}/media/urls": "listMediaUrls",
        "POST /v1/visits/{visit_id}/media/presign": "presignMedia",
        "POST /v1/visits/{visit_id}/media/{media_id}/complete": "completeMedia",
        "GET /v1/media/{media_id}": "getMedia",
        "PATCH /v1/media/{media_id}": "updateMedia",
        "DELETE /v1/media/{media_id}": "deleteMedia",
        "GET /v1/media/{media_id}/content": "getMediaContent",
    },
    "Resumable uploads": {
        "OPTIONS /v1/uploads": "getUploadOptions",
        "POST /v1/uploads": "createUpload",
        "OPTIONS /v1/uploads/{upload_id}": "getUploadOptionsOfUpload",
        "HEAD /v1/uploads/{upload_id}": "getUploadOffset",
        "PATCH /v1/uploads/{upload_id}": "appendToUpload",
        "POST /v1/uploads/{upload_id}": "overrideUploadMethod",
        "DELETE /v1/uploads/{upload_id}": "deleteUpload",
    },
    "Recordings": {
        "POST /v1/visits/{visit_id}/recordings/{recording_id}/chunks": "uploadRecordingChunk",
        "POST /v1/visits/{visit_id}/recordings/{recording_id}/finalize": "finalizeRecording",
        "DELETE /v1/visits/{visit_id}/recordings/{recording_id}": "discardRecording",
    },
    "Estimates": {
        "POST /v1/visits/{visit_id}/estimate": "requestEstimate",
        "GET /v1/visits/{visit_id}/estimate": "getLatestEstimate",
        "GET /v1/visits/{visit_id}/estimates": "listEstimateVersions",
        "GET /v1/estimates/{estimate_id}": "getEstimate",
        "GET /v1/estimates/{estimate_id}/changes": "compareEstimate",
        "PUT /v1/estimates/{estimate_id}/lines": "saveEstimateLines",
    },
    "Jobs": {
        "GET /v1/jobs": "listJobs",
        "GET /v1/jobs/{job_id}": "getJob",
        "POST /v1/jobs/{job_id}/cancel": "cancelJob",
    },
    "Progress": {
        "GET /v1/visits/{visit_id}/progress": "streamVisitProgress",
        "POST /v1/visits/{visit_id}/progress/ticket": "createProgressTicket",
        "GET /v1/visits/{visit_id}/events": "listVisitEvents",
        "GET /v1/progress": "streamVisitsProgress",
        "GET /v1/tenant/progress": "streamCompanyProgress",
    },
    "Shares": {
        "GET /v1/estimates/{estimate_id}/shares": "listShares",
        "POST /v1/estimates/{estimate_id}/shares": "createShare",
        "GET /v1/shares/{share_id}": "getShare",
        "PATCH /v1/shares/{share_id}": "updateShare",
        "GET /v1/estimates/{estimate_id}/preview": "previewEstimate",
        "POST /v1/shares/{share_id}/revoke": "revokeShare",
        "POST /v1/shares/{share_id}/rotate": "rotateShare",
        "POST /v1/shares/{share_id}/mails": "mailShare",
        "POST /v1/shares/{share_id}/qr": "drawShareQrCode",
        "GET /v1/shares/{share_id}/mail-preview": "previewShareMail",
        "POST /v1/shares/{share_id}/decision": "recordShareDecision",
        "GET /v1/shares/{share_id}/questions": "listShareQuestions",
        "POST /v1/shares/{share_id}/questions": "answerShareQuestion",
        "GET /v1/shares/{share_id}/timeline": "getShareTimeline",
        "GET /v1/shares/{share_id}/certificate": "getShareCertificate",
    },
    "Price book": {
        "GET /v1/price-items": "listPriceItems",
        "POST /v1/price-items": "createPriceItem",
        "GET /v1/price-items/{item_id}": "getPriceItem",
        "PATCH /v1/price-items/{item_id}": "updatePriceItem",
        "DELETE /v1/price-items/{item_id}": "deletePriceItem",
        "GET /v1/price-items/export": "exportPriceItems",
        "POST /v1/price-items/import": "importPriceItems",
    },
    "Changes": {"GET /v1/changes": "listChanges"},
    "Webhooks": {
        "GET /v1/webhook-endpoints": "listWebhookEndpoints",
        "POST /v1/webhook-endpoints": "createWebhookEndpoint",
        "GET /v1/webhook-endpoints/{endpoint_id}": "getWebhookEndpoint",
        "PATCH /v1/webhook-endpoints/{endpoint_id}": "updateWebhookEndpoint",
        "DELETE /v1/webhook-endpoints/{endpoint_id}": "deleteWebhookEndpoint",
        "POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret": "rotateWebhookSecret",
        "POST /v1/webhook-endpoints/{endpoint_id}/test": "testWebhookEndpoint",
        "POST /v1/webhook-endpoints/{endpoint_id}/redeliver": "redeliverWebhooks",
        "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": "listWebhookDeliveries",
        "GET /v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}": "getWebhookDelivery",
        "POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver": "redeliverWebhook",
    },
    "Company": {
        "GET /v1/me": "getMe",
        "GET /v1/branding": "getBranding",
        "PATCH /v1/branding": "updateBranding",
        "GET /v1/branding/logo": "getLogo",
        "GET /v1/branding/colours.css": "getColors",
        "PUT /v1/branding/logo": "replaceLogo",
        "DELETE /v1/branding/logo": "deleteLogo",
    },
    "Aliases": {
        "GET /functions/v1/sse-progress": "streamProgressByRunbook",
        "POST /functions/v1/sse-progress": "streamProgressByRunbookPost",
        "POST /functions/v1/queue-processor": "processQueue",
    },
}

# By "METHOD path": (operationId, tag).
NAMES: Mapping[str, tuple[str, str]] = {
    address: (name, tag) for tag, named in _BY_TAG.items() for address, name in named.items()
}
