"""python -m tests.simulation --seeds 10000"""

import sys

# Apart from this module, since worker processes cannot import what runs as __main__.
from .many import main

if __name__ == "__main__":
    sys.exit(main())
