"""The command `mcast`, which is `python -m mcast` too."""

import gc
import sys


def main() -> int:
    """Run the command line, as mcast.cli.main()."""
    # What is imported stays. Looking through it for garbage again and again takes a tenth of the time to the
    # first datagram; runner.collect() switches it on again.
    gc.disable()
    try:
        # Before a command runs and after it, Ctrl-C ends the program as if Python knew nothing of it. Python
        # would raise KeyboardInterrupt, also in callbacks of an import, where it is only printed: we would
        # go on. And a shell that starts us with & has SIGINT ignored, but what is sent to us is meant for us.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            from .cli import main as run

            return run()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
