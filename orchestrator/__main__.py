"""``python -m orchestrator`` is ``mass-stop``."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
