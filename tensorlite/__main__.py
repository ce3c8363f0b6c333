"""``python -m tensorlite``."""

import sys

from tensorlite.cli import main

sys.exit(main())
