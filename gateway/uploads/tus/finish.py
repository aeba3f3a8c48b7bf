"""How a resumable upload ends: as a medium, or not at all."""

from functools import partial
from uuid import UUID

from gateway.auth.principal import Principal
from gateway.context import Context
from gateway.uploads.finalize import insert_medium, measure, require_as_announced
from store.errors import Gone, Locked, NotFound, OverQuota, RequestError
from store.media.media import Draft
from store.pool import Record
from store.uploads import resumables
from store.uploads.resumable_writer import ResumableWriter


async def finish(context: Context, principal: Principal, writer: ResumableWriter) -> None:
    """Make a medium of a file that is whole; may be begun again by anybody until it has succeeded.

    What can never become a medium ends here: `UnsupportedType`, `Unprocessable`, `TooLarge`, `Conflict`, and `Gone`
    when the store has lost a part. `OverQuota` and `Locked` leave the upload as it is.
    """
    row = writer.row
    draft = Draft.of_row(row["media_id"], row)
    mark = partial(resumables.mark_stored, upload_id=row["id"], writer=row["writer"])
    try:
        async with writer.keeping():
            await _put_together(context, row)
            stored = await measure(context, draft, writer.whole)
            require_as_announced(stored, row)
            await insert_medium(context, principal, draft, stored, along=mark)
    except (Locked, OverQuota):  # whoever has taken over finishes it, or whoever asks once there is room
        raise
    except RequestError:
        await end(context, principal, row["id"])
        raise


async def end(context: Context, principal: Principal, upload_id: UUID) -> bool:
    """Forget an upload and drop what was received of it; False when there is none."""
    async with context.db.as_user(principal.claims) as conn:
        row = await resumables.remove(conn, upload_id)
    if row is None:
        return False
    if row["stored_at"] is None:
        await context.objects.finish_in_any_case(_drop(context, row))
    return True


async def _put_together(context: Context, row: Record) -> None:
    bucket = context.objects.holding(row["content_type"])
    try:
        await bucket.multipart.complete(row["storage_path"], row["multipart_id"], row["etags"])
    except NotFound:
        # An earlier attempt got this far.
        if await bucket.head(row["storage_path"]) is None:
            raise Gone("The store has lost a part of this file; send it again.", code="upload_expired") from None


async def _drop(context: Context, row: Record) -> None:
    bucket = context.objects.holding(row["content_type"])
    if row["multipart_id"] is not None:
        await bucket.multipart.abort(row["storage_path"], row["multipart_id"])
    tail = [] if row["tail_path"] is None else [row["tail_path"]]
    await bucket.delete(row["storage_path"], *tail)
