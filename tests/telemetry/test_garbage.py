"""When garbage is searched for."""

import subprocess
import sys

from config.gc_tuning import pause_s
from tests.product import ROOT

# In a process of its own, as it is meant: what it sets aside is set aside for good.
SCRIPT = """
import asyncio, gc, weakref
from config import gc_tuning

class Ring:
    def __init__(self):
        self.itself = self

async def main():
    gc_tuning.EVERY_SECONDS = 0.01
    early = Ring()
    collecting = asyncio.create_task(gc_tuning.collect_forever())
    await asyncio.sleep(0)
    late, gone = Ring(), asyncio.Event()
    weakref.finalize(late, gone.set)
    tracked = {id(one) for one in gc.get_objects()}
    assert (id(early) in tracked, id(late) in tracked) == (False, True)
    gc.collect(1)
    gc.collect(1)
    assert not gone.is_set()
    del late
    await asyncio.wait_for(gone.wait(), 10)
    collecting.cancel()

asyncio.run(main())
"""


def test_what_only_a_search_finds_goes_with_time() -> None:
    """Also what nobody's count would search again; and what was there at the start is not searched at all."""
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, check=True, timeout=60)


def test_long_searches_are_rarer_and_none_is_put_off_for_good() -> None:
    """A thousandth of the time goes into them, but for the minute and the ten minutes between which they come."""
    assert [pause_s(took) for took in (0.0, 0.05, 0.1, 0.6, 3600.0)] == [60.0, 60.0, 100.0, 600.0, 600.0]
