"""The private buckets: every photo and recording, streamed in, signed out.

The first one takes the nine types of `content.TYPES`. What came as another type, and what is not known yet, lies in the
second one, `originals`: where an object lies follows from its content type.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from config.logging import get_logger
from store.errors import NotFound, TooLarge, Unavailable
from store.objects.content import TYPES
from store.objects.multipart import Multipart
from store.objects.object_upload import ObjectUpload, StoredObject
from store.objects.s3_errors import MISSING, error_code, s3_call
from store.objects.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Sequence
    from datetime import datetime

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CORSRuleTypeDef

    from config.settings import Settings

_log = get_logger(__name__)

MEDIA_BYTES = 104_857_600
_CHUNK_BYTES = 256 * 1024
_CLEANUP_SECONDS = 10.0
_SPOOL_SECONDS = 30.0


@dataclass(frozen=True)
class ObjectInfo:
    """The store's facts about an object: bytes, declared type, etag."""

    size: int
    content_type: str
    etag: str


@dataclass(frozen=True)
class Unfinished:
    """A multipart upload that is still open."""

    key: str
    upload_id: str
    begun: datetime


@dataclass(frozen=True)
class PostForm:
    """A presigned POST: send `fields`, then the file in a last field `file`, to `url`."""

    url: str
    fields: dict[str, str]


class ObjectStore:
    """A bucket, and `originals` beside it; one client per process, opened in the lifespan.

    Every method raises `Unavailable` when the store does not answer.
    """

    def __init__(self, client: S3Client, public: S3Client, bucket: str, originals: str | None = None) -> None:
        self._client = client
        self._public = public
        self.bucket = bucket
        self.originals = self if originals is None else ObjectStore(client, public, originals)
        self.multipart = Multipart(client, bucket)
        self._cleanups: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Open the client; on leaving, unfinished clean-ups get their time."""
        inner, outer = settings.s3_endpoint_url, settings.s3_public_endpoint_url
        async with _client(settings, inner) as client, _client(settings, outer or inner) as public:
            store = cls(client, public, *bucket_names(settings))
            try:
                yield store
            finally:
                await store.originals.settled()
                await store.settled()

    async def settled(self) -> None:
        """Give unfinished clean-ups their time."""
        await asyncio.gather(*self._cleanups, return_exceptions=True)

    def holding(self, content_type: str) -> ObjectStore:
        """Return the bucket that takes objects of this type."""
        return self if content_type in TYPES else self.originals

    async def ensure_bucket(self) -> None:
        """Create the buckets where they are missing."""
        if self.originals is not self:
            await self.originals.ensure_bucket()
        async with s3_call():
            try:
                await self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if error_code(error) not in MISSING | {"NoSuchBucket"}:
                    raise
                await self._create_bucket()

    async def allow_origins(self, origins: Sequence[str]) -> None:
        """Let pages of these origins post forms and read files by signed URLs (CORS); replaces the rules."""
        if self.originals is not self:
            await self.originals.allow_origins(origins)
        rule: CORSRuleTypeDef = {
            "AllowedOrigins": list(origins),
            "AllowedMethods": ["GET", "HEAD", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag", "Content-Range"],
            "MaxAgeSeconds": 3600,
        }
        async with s3_call():
            if origins:
                await self._client.put_bucket_cors(Bucket=self.bucket, CORSConfiguration={"CORSRules": [rule]})
            else:
                await self._client.delete_bucket_cors(Bucket=self.bucket)

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes], *, content_type: str) -> StoredObject:
        """Store the bytes that `chunks` yields. Raises, and undoes, as `uploading` does."""
        async with self.uploading(key, chunks, content_type=content_type) as stored:
            return replace(stored, spool=None)

    @asynccontextmanager
    async def uploading(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str
    ) -> AsyncIterator[StoredObject]:
        """Store the bytes that `chunks` yields, with little of it in memory; in the block its `spool` may have them.

        On any error while it is stored, a cancellation too, nothing stays behind: so `key` must be new, never one
        already in use.
        """
        upload = ObjectUpload(self.multipart, key, content_type)
        try:
            yield await self._take_in(upload, chunks)
        finally:
            upload.part.close()

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Store a small object whole."""
        async with s3_call(moving=True):
            await self._client.put_object(Bucket=self.bucket, Key=key, Body=io.BytesIO(body), ContentType=content_type)

    async def copy(self, source: str, target: str, *, content_type: str, of: ObjectStore | None = None) -> None:
        """Copy from this bucket or another one, at the store's side. Raises `NotFound`."""
        async with s3_call(source, moving=True):
            await self._client.copy_object(
                Bucket=self.bucket,
                Key=target,
                CopySource={"Bucket": (of or self).bucket, "Key": source},
                ContentType=content_type,
                MetadataDirective="REPLACE",
            )

    async def get(self, key: str, *, limit: int = MEDIA_BYTES) -> bytes:
        """Read an object whole. Raises `NotFound`, and `TooLarge` past `limit` bytes."""
        async with s3_call(key, moving=True):
            answer = await self._client.get_object(Bucket=self.bucket, Key=key)
            async with answer["Body"] as body:
                if answer["ContentLength"] > limit:
                    raise TooLarge(f"The object has more than {limit} bytes.")
                return await body.read()

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Read the bytes from `start` up to but without `end`; fewer when the object is shorter. Raises `NotFound`."""
        async with s3_call(key, moving=True):
            answer = await self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{end - 1}")
            async with answer["Body"] as body:
                return await body.read()

    async def chunks(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read an object piece by piece. Raises `NotFound`."""
        async with s3_call(key, moving=True):
            answer = await self._client.get_object(Bucket=self.bucket, Key=key)
            async with answer["Body"] as body:
                while chunk := await body.read(_CHUNK_BYTES):
                    yield chunk

    @asynccontextmanager
    async def spooled(self, *keys: str | tuple[str, str]) -> AsyncIterator[Spool]:
        """Lend objects, one behind the other, as one file on this disk; a key may come with its content type.

        Raises `NotFound`, `TooLarge` past a medium's size, and `Unavailable` past 30 s.
        """
        spool = Spool(MEDIA_BYTES)
        try:
            async with _in_time(_SPOOL_SECONDS):
                for place in keys:
                    bucket, key = (self, place) if isinstance(place, str) else (self.holding(place[0]), place[1])
                    await bucket.fill(spool, key)
            yield spool
        finally:
            spool.close()

    async def digest(self, key: str) -> StoredObject:
        """Read an object through to count and hash it. Raises `NotFound`."""
        size, sha256 = 0, hashlib.sha256()
        async with aclosing(self.chunks(key)) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                sha256.update(chunk)
        return StoredObject(size, sha256.hexdigest())

    async def head(self, key: str) -> ObjectInfo | None:
        """Return the store's facts about `key`, or None; a store that hangs is not waited for beyond 10 s."""
        try:
            async with s3_call(key):
                answer = await self._client.head_object(Bucket=self.bucket, Key=key)
        except NotFound:
            return None
        return ObjectInfo(answer["ContentLength"], answer.get("ContentType", ""), answer["ETag"])

    async def delete(self, *keys: str) -> None:
        """Delete objects; one that is not there is fine."""
        for key in keys:
            async with s3_call():
                await self._client.delete_object(Bucket=self.bucket, Key=key)

    async def discard(self, *keys: str) -> None:
        """Delete objects as well as can be: even if the caller is cancelled, and without an error when it fails."""
        await self.finish_in_any_case(self.delete(*keys))

    async def keys(self, prefix: str) -> dict[str, datetime]:
        """List the objects under `prefix`, and when each was written."""
        found: dict[str, datetime] = {}
        position: dict[str, Any] = {}
        while True:
            async with s3_call():
                page = await self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **position)
            found |= {item["Key"]: item["LastModified"] for item in page.get("Contents", [])}
            if not page.get("IsTruncated"):
                return found
            position = {"ContinuationToken": page["NextContinuationToken"]}

    async def unfinished(self, prefix: str) -> list[Unfinished]:
        """List multipart uploads under `prefix` that were begun and neither completed nor aborted: at most 1,000."""
        async with s3_call():
            answer = await self._client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        return [Unfinished(item["Key"], item["UploadId"], item["Initiated"]) for item in answer.get("Uploads", [])]

    async def presign_get(
        self,
        key: str,
        *,
        ttl: int,
        content_type: str | None = None,
        filename: str | None = None,
        internal: bool = False,
    ) -> str:
        """Sign a GET for `ttl` seconds, answering range requests; `internal` for our own processes' network."""
        params: dict[str, Any] = {"Bucket": self.bucket, "Key": key}
        if content_type:
            params["ResponseContentType"] = content_type
        if filename:
            params["ResponseContentDisposition"] = f"inline; filename*=UTF-8''{quote(filename, safe='')}"
        client = self._client if internal else self._public
        return await client.generate_presigned_url("get_object", Params=params, ExpiresIn=ttl)

    async def presign_post(self, key: str, *, content_type: str, max_bytes: int, ttl: int) -> PostForm:
        """Sign a form POST of exactly this key and type, of 1 to `max_bytes` bytes, for `ttl` seconds."""
        form = await self._public.generate_presigned_post(
            self.bucket,
            key,
            Fields={"Content-Type": content_type},
            Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
            ExpiresIn=ttl,
        )
        return PostForm(form["url"], form["fields"])

    async def finish_in_any_case(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this even if the caller is cancelled, for 10 s at most; a store that is away is only logged."""
        task = asyncio.create_task(_with_deadline(work))
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)
        await asyncio.shield(task)

    async def ping(self) -> None:
        """Ask for the buckets; the caller sets the deadline."""
        async with s3_call():
            await self._client.head_bucket(Bucket=self.bucket)
        if self.originals is not self:
            await self.originals.ping()

    async def fill(self, spool: Spool, key: str) -> None:
        """Add an object to a spool. Raises `NotFound`, and `TooLarge` past a medium's size."""
        async with aclosing(self.chunks(key)) as chunks:
            async for chunk in chunks:
                if spool.fill(memoryview(chunk)):
                    raise TooLarge(f"The object has more than {MEDIA_BYTES} bytes.")

    async def _create_bucket(self) -> None:
        region = self._client.meta.region_name
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            await self._client.create_bucket(Bucket=self.bucket, **place)
        except ClientError as error:
            if error_code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    async def _take_in(self, upload: ObjectUpload, chunks: AsyncIterable[bytes]) -> StoredObject:
        try:
            async for chunk in chunks:
                await upload.add(chunk)
            return await upload.finish()
        except BaseException:
            await self.finish_in_any_case(self._undo(upload))
            raise

    async def _undo(self, upload: ObjectUpload) -> None:
        # The answer to the last request may have been lost on its way, so the object is deleted too.
        await upload.abort()
        await self.delete(upload.key)


def bucket_names(settings: Settings) -> tuple[str, str]:
    """Return the names of the bucket of media and of the one of originals."""
    return settings.s3_bucket, settings.s3_originals_bucket or f"{settings.s3_bucket}-originals"


@cache
def _session() -> AioSession:
    # Reading botocore's model of S3 takes 0.2 s; the session keeps it for every later client.
    return AioSession()


def _client(settings: Settings, endpoint: str | None) -> Any:
    return _session().create_client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=endpoint,
        aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=AioConfig(
            signature_version="s3v4",
            connect_timeout=3,
            read_timeout=30,
            max_pool_connections=64,
            # Standard mode backs off exponentially with full jitter.
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path" if endpoint else "auto"},
            # Many S3-compatible stores do not know the newer trailing checksums; SigV4 signs the bytes anyway.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("The file store is too slow just now. Try again.", retry_after=5) from None


async def _with_deadline(work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_CLEANUP_SECONDS):
            await work
    except (Unavailable, TimeoutError) as error:
        # What stays is an orphan: no row names it, so nobody ever sees it.
        _log.warning("Clean-up of the object store failed", error=type(error).__name__)
