"""A Prefect flow (Prefect 3) that stops a list of mass actions, and logs each that is not over as it ends.

The tenant and the credentials come from the environment of the worker (``ZUORA_BASE_URL``, ``ZUORA_CLIENT_ID``,
``ZUORA_CLIENT_SECRET``), for instance from a secret of the work pool. ``stopping.py`` lies beside this file.
"""

from prefect import flow, get_run_logger, task

from orchestrator import resolve
from stopping import NeedsAPerson, NotOver, keys_in, not_over, stop_list_watched


async def worth_another_attempt(_task, _run, state) -> bool:
    """Whether the failed attempt may end better: not where a person has to look or a setting is wrong."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, NotOver) and not isinstance(error, NeedsAPerson)


@task(retries=5, retry_delay_seconds=30, retry_condition_fn=worth_another_attempt)
async def stop(path: str) -> int:
    """Stops the list at ``path``; returns how many keys it had.

    Raises NotOver. Another attempt has a run directory of its own; a stop that is sent again does no harm.
    """
    log = get_run_logger()
    keys = keys_in(path)
    left = await stop_list_watched(keys, resolve({}), log.warning)
    if left:
        raise not_over((action.outcome for action in left), f"{len(left)} of {len(keys)} mass actions.")
    return len(keys)


@flow(name="mass-stop")
async def mass_stop(path: str = "keys.txt") -> int:
    """Stops every mass action of the list at ``path``."""
    return await stop(path)


if __name__ == "__main__":
    import asyncio

    asyncio.run(mass_stop())
