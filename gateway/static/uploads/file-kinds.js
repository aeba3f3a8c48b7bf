// Which files we take, what they are sent as, and why one would never pass.

import { Problem } from "../shared/api.js";

const LARGEST = 104_857_600;

// Browsers on some desktops name no type for HEIC, and phones name audio in their own ways.
const TYPES = {
  "image/jpeg": "photo", "image/png": "photo", "image/webp": "photo", "image/heic": "photo", "image/heif": "photo",
  "audio/webm": "audio", "audio/mp4": "audio", "audio/aac": "audio", "audio/mpeg": "audio",
};
const OTHER_NAMES = { "audio/x-m4a": "audio/mp4", "audio/m4a": "audio/mp4", "audio/mp3": "audio/mpeg",
  "video/webm": "audio/webm", "image/jpg": "image/jpeg" };
const EXTENSIONS = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", heic: "image/heic",
  heif: "image/heif", weba: "audio/webm", webm: "audio/webm", m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac",
  mp3: "audio/mpeg" };

/** The content type a file is sent as, or "" for one we do not take. */
export function contentTypeOf(file) {
  const given = file.type.toLowerCase();
  const bare = given.split(";")[0].trim();
  if (TYPES[bare]) return given;
  return OTHER_NAMES[bare] ?? EXTENSIONS[file.name?.split(".").pop().toLowerCase()] ?? "";
}

export const kindOf = (contentType) => TYPES[contentType.split(";")[0]] ?? "";

/** Why a file would never pass, or null. */
export function refusal(file, contentType) {
  if (!contentType) {
    return new Problem({ title: "Unsupported file type", detail: "Photos can be JPEG, PNG, WebP or HEIC; audio WebM, MP4, AAC or MP3." });
  }
  if (file.size === 0) return new Problem({ title: "Empty file", detail: "Choose another file." });
  if (file.size > LARGEST) return new Problem({ title: "Too large", detail: "Files can be up to 100 MB." });
  return null;
}

/** The server speaks of types and bytes, to programmers. */
export function notWhatItSays({ status, members }) {
  const found = members.found?.split("/")[1].toUpperCase();
  const detail = found ? `This is really ${found}. Rename it and add it again.` : "This is not a photo or a recording.";
  return new Problem({ title: "Wrong file extension", detail, status });
}
