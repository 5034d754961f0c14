"""See ``python train.py --help``."""

import sys

from paddleseg.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
