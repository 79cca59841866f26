"""What scripts/test-servers is made of."""

import sys


def fail(message):
    sys.exit(f"scripts/test-servers: {message}")
