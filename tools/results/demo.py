"""`make demo-results`: see the results without an account.

Installations are simulated, their events loaded into a ClickHouse in this process, PostHog's query API served from it
on 127.0.0.1, and a year of pages published from that with the code that a maintainer runs. Nothing else is contacted.
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
PAGES = 14  # one every four weeks: a year, and the page before it
DECISIONS = """\
- Kept **on the list of supported services**: everything that more than a tenth of you run.
- Fixed: `update` failed for more of you than any other command, since it pulled images one after another.
"""


def run(folder: Path, number: int = NUMBER, pages: int = PAGES, seed: int = 18) -> list[Row]:
    """Publish pages of simulated installations into a folder, and return the events behind them.

    Args:
        folder: is created if need be.
        number: of installations.
        pages: how many, four weeks apart; the last one is made on `UNTIL`.
        seed: for the random numbers.
    """
    rows = installations(number, UNTIL, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "decisions.md").write_text(DECISIONS)
    with Receiver() as receiver:
        receiver.answer_always(QueryApi(rows))
        application = Application(receiver.url, PROJECT, KEY)
        for back in reversed(range(pages)):
            publish(application, folder, UNTIL - back * timedelta(weeks=4), 5, links(None))
    return rows


def main() -> None:
    """Publish into the folder that the command line names, else into a temporary one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="onramp-results-"))
    started = time.monotonic()
    rows = run(folder)
    print(  # noqa: T201  (its output)
        f"{NUMBER} simulated installations, {len(rows):,} events, {PAGES} pages, {time.monotonic() - started:.0f} s.\n"
        f"Open {folder / 'index.html'} in a browser. The same in the terminal, in an OnRamp checkout that holds\n"
        f"{folder / 'results.json'} as make.d/analytics-results.json: make analytics-results"
    )


if __name__ == "__main__":
    main()
