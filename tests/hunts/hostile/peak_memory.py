"""``python peak_memory.py FILE COMMAND…`` runs COMMAND and writes its peak resident memory in bytes to FILE."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    child = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
    _, status, used = os.wait4(child, 0)
    Path(sys.argv[1]).write_text(str(used.ru_maxrss * 1024))
    sys.exit(os.waitstatus_to_exitcode(status))
