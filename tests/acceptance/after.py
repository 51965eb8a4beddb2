"""Run the installed command after some code: ``python after.py CODE COMMAND ARGUMENTS…``.

The code imitates a machine that a test cannot have: one without threads, or with fixed file modes.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    code, *sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)  # as if Python had started the command directly
    exec(compile(code, "<code>", "exec"), {})
    runpy.run_path(sys.argv[0], run_name="__main__")
