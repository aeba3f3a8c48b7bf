// npm's `tus-js-client`: node tus.mjs ENDPOINT TOKEN FILE METADATA [CHUNK]. Tells what it sees as JSON lines.

import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, token, file, metadata, chunk] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

const upload = new Upload(createReadStream(file), {
  endpoint,
  uploadSize: statSync(file).size,
  chunkSize: chunk ? Number(chunk) : Number.POSITIVE_INFINITY,
  metadata: JSON.parse(metadata),
  headers: { authorization: `Bearer ${token}` },
  retryDelays: Array(40).fill(300),
  onUploadUrlAvailable: () => tell({ url: upload.url }),
  onShouldRetry: (error) => {
    tell({ retry: error.originalResponse?.getStatus() ?? 0 });
    return true;
  },
  onSuccess: () => tell({ stored: true }),
  onError: (error) => tell({ failed: String(error) }),
});
upload.start();
