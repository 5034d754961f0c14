"""See ``python export.py --help``."""

import sys

from paddleseg.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
