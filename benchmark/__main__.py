"""The entry of ``python -m benchmark``."""

import signal
import sys

from benchmark.program import main

if __name__ == "__main__":
    # Ends by an exception, so that what was started ends, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
