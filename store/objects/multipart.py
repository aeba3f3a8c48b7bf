"""Objects that arrive in parts: begun, sent part by part from a spool, and put together or dropped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from store.errors import NotFound
from store.objects.s3_errors import s3_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

    from store.objects.spool import Spool

# Parts under way at once, in the whole process: enough that the store is never idle. They leave at its pace, never at
# a client's, so nobody waits here for a slow phone.
SENDING = 8


class Multipart:
    """The parts of one bucket. Every method raises `Unavailable` when the store does not answer."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._slots = asyncio.Semaphore(SENDING)

    async def put(self, key: str, spool: Spool, *, content_type: str) -> None:
        """Store one spool as an object of its own."""
        async with s3_call(moving=True), self._slots:
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=spool.body(), ContentType=content_type)

    async def begin(self, key: str, *, content_type: str) -> str:
        """Begin an object in parts; returns the store's id for it."""
        async with s3_call():
            begun = await self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=content_type)
        return begun["UploadId"]

    async def send(self, key: str, upload_id: str, number: int, spool: Spool) -> str:
        """Send one part, numbered from 1; returns its etag. Sent again, it replaces its first."""
        async with s3_call(key, moving=True), self._slots:
            answer = await self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=spool.body()
            )
        return answer["ETag"]

    async def complete(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Make the object appear. Raises `NotFound` when the upload, or a part of it, is not there any more."""
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)
        ]
        async with s3_call(key, moving=True):
            await self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop the parts; an upload that is gone is fine."""
        try:
            async with s3_call(key):
                await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except NotFound:
            return
