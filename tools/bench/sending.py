"""The process of `flushing.py`; it imports little, since callgrind counts what it imports.

python -m tools.bench.sending ours|theirs ROOT BATCHES      sends, and prints milliseconds and MiB
python -m tools.bench.sending loading ROOT BATCHES          only loads what `theirs` loads, to be counted
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path


def peak() -> float:
    """Return the peak of this program's memory in MiB; unlike ru_maxrss it starts with the program."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    """Send what is there, and print what it took."""
    who, root, file = sys.argv[1:]
    import posthog.request
    import requests

    import onramp_analytics.posthog.capture  # noqa: F401  (so that no import is measured)
    from onramp_analytics import flush

    batches = [] if who == "ours" else json.loads(Path(file).read_text())
    base, started = peak(), time.perf_counter()
    if who == "ours":
        sys.argv[1:] = [root]
        flush.main()
    session, key, host = requests.Session(), os.environ["ONRAMP_ANALYTICS_API_KEY"], os.environ["ONRAMP_ANALYTICS_HOST"]
    for batch in batches if who == "theirs" else ():
        posthog.request.batch_post(key, host, gzip=True, timeout=15, batch=batch, session=session)
    sys.stdout.write(f"{(time.perf_counter() - started) * 1000} {peak() - base}\n")


if __name__ == "__main__":
    main()
