"""See ``python predict.py --help``."""

import sys

from paddleseg.cli.predict import main

if __name__ == "__main__":
    sys.exit(main())
