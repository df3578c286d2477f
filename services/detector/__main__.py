"""`python -m services.detector`: one detector service, as a container runs it."""

import sys

from services.detector.service import open_stage
from shared.service import main

if __name__ == "__main__":
    sys.exit(main("detector", open_stage))
