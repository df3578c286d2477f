"""`python -m services.writer`: one writer service, as a container runs it."""

import sys

from services.writer.service import open_stage
from shared.service import main

if __name__ == "__main__":
    sys.exit(main("writer", open_stage))
