"""``python -m resilient_redis`` is the command ``resilient-redis``."""

from __future__ import annotations

import sys

from resilient_redis.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
