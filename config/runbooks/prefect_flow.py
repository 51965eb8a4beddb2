"""A Prefect flow (Prefect 3) that stops a list of mass actions, and logs each that is not over as it ends.

The tenant and the credentials come from the environment of the worker (``ZUORA_BASE_URL``, ``ZUORA_CLIENT_ID``,
``ZUORA_CLIENT_SECRET``), for instance from a secret of the work pool. ``stopping.py`` lies beside this file.
"""

from prefect import flow, get_run_logger, task

from orchestrator import resolve
from stopping import NotOver, keys_in, stop_list_watched


@task(retries=5, retry_delay_seconds=30)
async def stop(path: str) -> int:
    """Stops the list at ``path``; returns how many keys it had.

    Raises NotOver, upon which Prefect tries again: with a new run directory, and stops that are sent again, which does
    no harm.
    """
    log = get_run_logger()
    keys = keys_in(path)
    left = await stop_list_watched(keys, resolve({}), log.warning)
    if left:
        raise NotOver(f"{len(left)} of {len(keys)} mass actions are not over")
    return len(keys)


@flow(name="mass-stop")
async def mass_stop(path: str = "keys.txt") -> int:
    """Stops every mass action of the list at ``path``."""
    return await stop(path)


if __name__ == "__main__":
    import asyncio

    asyncio.run(mass_stop())
