"""Own trouble: an error by which our database, file store, Redis, disk or memory refuses, not the job.

An attempt that ends so costs nothing and is made again a moment later, for as long as it lasts.
"""

import errno

import asyncpg
from redis.exceptions import RedisError

from store.errors import TooMany, Unavailable

CODE = "own_trouble"
# As often as that a job looks whether the trouble is over.
SECONDS = 5.0

# Classes of SQLSTATE: connections, resources, operator intervention (a cancelled statement too), I/O errors, and what
# the server gave up for the sake of another transaction.
_SQLSTATES = ("08", "53", "57", "58", "40", "55P03", "25P03", "25006")
_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN, errno.EROFS}
)
# A connection is lost in the middle of something; what was asked wrongly says so by other classes.
_DRIVER = (asyncpg.InterfaceError, asyncpg.InternalClientError)


def is_own_trouble(error: BaseException) -> bool:
    """Tell whether an error is our own trouble; what an engine makes of its provider's is not."""
    match error:
        case Unavailable() | TooMany() | MemoryError() | ConnectionError() | TimeoutError() | RedisError():
            return True
        case asyncpg.PostgresError():
            return str(error.sqlstate or "").startswith(_SQLSTATES)
        case OSError():
            return error.errno in _ERRNOS
    return isinstance(error, _DRIVER)
