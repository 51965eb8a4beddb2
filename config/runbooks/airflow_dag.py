"""An Airflow DAG (Airflow 3) that stops a list of mass actions. Started by hand, with the path of the list.

The credentials are an Airflow connection ``zuora``: its host is the tenant's address, its login the client id, its
password the client secret. ``stopping.py`` lies beside this file.
"""

from airflow.sdk import BaseHook, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from orchestrator import Secret, Settings, UsageError
from stopping import NeedsAPerson, keys_in, stop_list

RUNS = "/var/lib/mass-stop/runs"


@dag(
    dag_id="mass_stop",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={"keys": Param("keys.txt", type="string", description="List of bulk keys, one a line")},
    tags=["billing", "incident"],
)
def mass_stop():
    """Stops every mass action of the list."""

    @task(retries=5, retry_exponential_backoff=True)
    def stop() -> dict[str, int]:
        """Returns how many ended in which outcome.

        Every attempt has a run directory and a report of its own. A stop that is sent again does no harm.
        """
        context = get_current_context()
        tenant = BaseHook.get_connection("zuora")
        settings = Settings(
            base_url=tenant.host,
            client_id=tenant.login,
            client_secret=Secret(tenant.password),
            out=f"{RUNS}/{context['run_id']}-{context['ti'].try_number}".replace(":", ""),
        )
        try:
            return stop_list(keys_in(context["params"]["keys"]), settings)
        except (NeedsAPerson, UsageError) as error:  # another attempt would end in the same
            raise AirflowFailException(str(error)) from error

    stop()


mass_stop()
