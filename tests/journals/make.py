"""Write the sample of the current form: ``python -m tests.journals.make``. Never renew a released form."""

import tarfile
import tempfile
from pathlib import Path

from orchestrator.journal import database
from tests.hunts.disk.journals import make

HERE = Path(__file__).parent


def sample(form: int) -> Path:
    """Return the archive with a closed and a killed journal of ``form``."""
    return HERE / f"form-{form}.tar.gz"


def unpack(form: int, directory: Path) -> None:
    """Put ``closed/journal.db`` and ``killed/journal.db``, with its log and index, into ``directory``."""
    with tarfile.open(sample(form)) as archive:
        archive.extractall(directory, filter="data")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, tarfile.open(sample(database.FORM), "w:gz") as archive:
        for name in ("closed", "killed"):
            folder = Path(place) / name
            folder.mkdir()
            make(folder, killed=name == "killed")
            archive.add(folder, name)
