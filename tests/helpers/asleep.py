"""A module whose import never ends."""

import time

print("importing", flush=True)
time.sleep(10_000)
