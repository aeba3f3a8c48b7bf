"""Whether a job may be started: by its tenant's flags, as this worker knows them."""

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from config.flags import Flag
from jobs.queue.errors import TurnedOff
from store.tenants.flag_cache import FlagCache

FLAG_OF: Mapping[str, Flag] = MappingProxyType({"estimate": Flag.ESTIMATION})


class FlagGuard:
    """Lets jobs through if their flag is on; running ones go on."""

    def __init__(self, flags: FlagCache) -> None:
        self._flags = flags

    async def require(self, job_type: str, tenant_id: UUID) -> None:
        """Pass, or raise `TurnedOff`, which costs the job no attempt."""
        flag = FLAG_OF.get(job_type)
        if flag is not None and not await self._flags.is_on(tenant_id, flag):
            raise TurnedOff(flag)
