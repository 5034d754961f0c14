"""See ``python val.py --help``."""

import sys

from paddleseg.cli.val import main

if __name__ == "__main__":
    sys.exit(main())
