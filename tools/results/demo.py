"""`make demo-results`: see the results without an account.

This simulates installations, loads their events into a ClickHouse in this process, and serves PostHog's query API from
it on 127.0.0.1. It publishes a year of editions into one site, with the code that a maintainer runs. It contacts no
other host.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from onramp_analytics.cli.dashboard import links
from onramp_analytics.dashboard.application import Application
from onramp_analytics.dashboard.publish import publish
from onramp_analytics.receiver import Receiver
from tools.results.simulate import Row, installations
from tools.results.stand_in import KEY, PROJECT, QueryApi

NUMBER = 300
UNTIL = date(2026, 9, 28)
EDITIONS = 14  # one every four weeks: a year, and the edition before it
DECISIONS = """\
- Kept **on the list of supported services**: everything that more than a tenth of you run.
- Fixed: `update` failed for more of you than any other command, since it pulled images one after another.
"""


def run(folder: Path, number: int = NUMBER, editions: int = EDITIONS, seed: int = 18) -> list[Row]:
    """Publish editions about simulated installations into a folder, and return the events behind them.

    Args:
        folder: where to publish; created if it is missing.
        number: the number of installations.
        editions: the number of editions, four weeks apart; the last one is of the day `UNTIL`.
        seed: for the random numbers.
    """
    rows = installations(number, UNTIL, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decisions.md").write_text(DECISIONS)
    with Receiver() as receiver:
        receiver.answer_always(QueryApi(rows))
        application = Application(receiver.url, PROJECT, KEY)
        for back in reversed(range(editions)):
            publish(application, folder, UNTIL - back * timedelta(weeks=4), 5, links(None))
    return rows


def main() -> None:
    """Publish into the folder that the command line names, or into a temporary one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="onramp-results-"))
    started = time.monotonic()
    rows = run(folder)
    print(  # noqa: T201  (its output)
        f"{NUMBER} simulated installations, {len(rows):,} events, {EDITIONS} editions, "
        f"{time.monotonic() - started:.0f} s.\n"
        f"Open {folder / 'index.html'} in a browser. The same in the terminal, in an OnRamp checkout that holds\n"
        f"{folder / 'results.json'} as make.d/analytics-results.json: make analytics-results"
    )


if __name__ == "__main__":
    main()
