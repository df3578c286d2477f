"""`python -m services.ingest`: one ingest service, as a container runs it."""

import sys

from services.ingest.service import open_stage
from shared.service import main

if __name__ == "__main__":
    sys.exit(main("ingest", open_stage))
