"""Several functions at the same time, in threads: for work inside libraries that let other threads run meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time, the first one in the caller's own thread.

    Args:
        *works: They take no arguments, and none changes what another one reads.

    Returns:
        What each gives, in their order.

    Raises:
        Exception: What the first of them that failed raised; all have ended then.
    """
    if len(works) < 2:
        return [work() for work in works]
    with ThreadPoolExecutor(len(works) - 1, "at-once") as pool:
        others = [pool.submit(work) for work in works[1:]]
        return [works[0](), *(other.result() for other in others)]
