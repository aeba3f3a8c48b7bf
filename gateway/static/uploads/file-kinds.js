// What a file is called when it is sent, and why one would never pass. What it is, the server finds by its first bytes.

import { Problem } from "../shared/api.js";

const LARGEST = 104_857_600;
const MAY_BE_MEDIA = /^(image|audio|video)\/|^application\/octet-stream$|^$/;

// Browsers name no type for what their system does not know, such as HEIC on a desktop.
const EXTENSIONS = { heic: "image/heic", heif: "image/heif", avif: "image/avif", weba: "audio/webm", m4a: "audio/mp4",
  aac: "audio/aac", mp3: "audio/mpeg" };

/** What a file is sent as: what this device calls it, or "". */
export function contentTypeOf(file) {
  return file.type.toLowerCase() || (EXTENSIONS[file.name?.split(".").pop().toLowerCase()] ?? "");
}

/** Where its card stands until the server has said what it is. */
export function kindOf(contentType) {
  return { image: "photo", audio: "audio", video: "audio" }[contentType.split("/")[0]] ?? "";
}

/** Why a file would never pass, or null. */
export function refusal(file, contentType) {
  if (!MAY_BE_MEDIA.test(contentType.split(";")[0])) {
    return new Problem({ title: "Not a photo or recording", detail: "Photos can be JPEG, PNG, WebP or HEIC; recordings WebM, M4A, AAC or MP3." });
  }
  if (file.size === 0) return new Problem({ title: "Empty file", detail: "Choose another file." });
  if (file.size > LARGEST) return new Problem({ title: "Too large", detail: "Files can be up to 100 MB." });
  return null;
}
