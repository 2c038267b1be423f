"""The command `mcast`, which is `python -m mcast` too."""

import gc
import sys


def main() -> int:
    """Run the command line, as mcast.cli.main()."""
    # What is imported stays. Looking through it for garbage again and again takes a tenth of the time to the
    # first datagram; runner.collect() switches it on again.
    gc.disable()
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:  # while all this is imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
