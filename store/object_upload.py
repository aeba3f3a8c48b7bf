"""One object on its way into the store: counted, hashed, and sent in parts once it is too large for one."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

# The least S3 takes for any part but the last; memory of an upload is one of these.
PART_BYTES = 5 * 1024 * 1024
MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})


@dataclass(frozen=True)
class StoredObject:
    """What was stored: bytes counted and hashed by us as they passed; `etag` is the store's own word."""

    size: int
    sha256: str
    etag: str


@dataclass
class ObjectUpload:
    """One object on its way: a plain PUT while it is small, parts from the second one on."""

    client: S3Client
    bucket: str
    key: str
    content_type: str
    size: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    part: io.BytesIO = field(default_factory=io.BytesIO)
    upload_id: str | None = None
    etags: list[str] = field(default_factory=list)

    async def add(self, chunk: bytes) -> None:
        """Take some bytes; whenever a part is full and more comes, send it."""
        self.size += len(chunk)
        self.sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            room = PART_BYTES - self.part.tell()
            if room == 0:
                await self._send_part()
                continue
            self.part.write(rest[:room])
            rest = rest[room:]

    async def finish(self) -> StoredObject:
        """Send what is left and make the object appear."""
        if self.upload_id is None:
            etag = await self._put_whole()
        else:
            await self._send_part()
            etag = await self._complete()
        return StoredObject(self.size, self.sha256.hexdigest(), etag)

    async def abort(self) -> None:
        """Drop the parts sent so far."""
        self.part = io.BytesIO()
        if self.upload_id is None:
            return
        try:
            await self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self.upload_id)
        except ClientError as error:
            if error_code(error) not in MISSING:
                raise

    async def _put_whole(self) -> str:
        self.part.seek(0)
        answer = await self.client.put_object(
            Bucket=self.bucket, Key=self.key, Body=self.part, ContentType=self.content_type
        )
        return answer["ETag"]

    async def _send_part(self) -> None:
        if self.upload_id is None:
            begun = await self.client.create_multipart_upload(
                Bucket=self.bucket, Key=self.key, ContentType=self.content_type
            )
            self.upload_id = begun["UploadId"]
        self.part.seek(0)
        answer = await self.client.upload_part(
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self.upload_id,
            PartNumber=len(self.etags) + 1,
            Body=self.part,
        )
        self.etags.append(answer["ETag"])
        self.part = io.BytesIO()

    async def _complete(self) -> str:
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(self.etags, start=1)
        ]
        answer = await self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=self.key, UploadId=self.upload_id or "", MultipartUpload={"Parts": parts}
        )
        return answer["ETag"]


def error_code(error: ClientError) -> str:
    """Return the store's own word for what went wrong, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))
