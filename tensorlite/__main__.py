"""``python -m tensorlite``."""

import sys

from tensorlite_command import main

sys.exit(main())
