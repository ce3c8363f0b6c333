"""``python -m tensorlite``."""

import sys

from tensorlite_command import main

if __name__ == "__main__":
    sys.exit(main())
