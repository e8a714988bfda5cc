"""`make sample-results`: pictures of a sample page and of a report, for the documents. Needs Chromium."""

from __future__ import annotations

import random
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from onramp_analytics.cli.dashboard import links
from onramp_analytics.dashboard.pages import PAUSE, Page, days
from onramp_analytics.dashboard.publish import made_from
from onramp_analytics.dashboard.rounding import Counts, Row, r
from onramp_analytics.report import page, summary
from tools.results.browser import FOUND, Browser
from tools.results.demo import DECISIONS, UNTIL
from tools.results.simulate import COMMANDS, OVERRIDES, SERVICES, USUAL, installations

#: axe-core, which `make axe` gets from the npm registry.
AXE = Path(__file__).parent.parent.parent / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"


def sample_history(number: int = 14, seed: int = 18) -> list[Page]:
    """Return editions that look like those of some hundred installations, without a database."""
    chance = random.Random(seed)
    shares = {name: 0.85 / (1 + rank / 6) * chance.uniform(0.9, 1.1) for rank, name in enumerate(SERVICES[:60])}
    found = []
    for back in reversed(range(number)):
        made = UNTIL - back * PAUSE
        active = 300 - 12 * back
        found.append(Page(*days(made), made, 5, _counts(active, shares, chance)))
    return found


def _counts(active: int, shares: dict[str, float], chance: random.Random) -> Counts:
    return Counts(
        active=r(active),
        with_services=r(active - 5),
        services=_rows({name: int(active * share * chance.uniform(0.97, 1.03)) for name, share in shares.items()}),
        overrides=_rows({name: int(active / (9 + 4 * i)) for i, name in enumerate(OVERRIDES)}),
        commands=[
            Row(name, r(active - 14 * i), r(int(active * 0.2) - 3 * i), USUAL.get(name, 300) // 1000 or 0.3)
            for i, name in enumerate(COMMANDS)
        ],
        given_up=_rows({"nextcloud": active // 20, "authentik": active // 28}),
    )


def _rows(counts: dict[str, int]) -> list[Row]:
    rows = [Row(name, r(n)) for name, n in counts.items() if r(n)]
    return sorted(rows, key=lambda row: (-row.installations, row.name))


def report_page() -> str:
    """Return the report of one simulated installation that was used for two months."""
    until = date(2026, 9, 14)
    first = str(until - timedelta(days=58))
    rows = [row for row in installations(11, until, days=120) if row["timestamp"][:10] >= first]
    busiest = max({row["distinct_id"] for row in rows}, key=lambda one: _used(rows, one))
    own = list({row["uuid"]: row for row in rows if row["distinct_id"] == busiest}.values())
    return page.page(summary.summary(own), own[:-6], own[-6:], "https://eu.i.posthog.com")


def _used(rows: list[dict[str, object]], one: str) -> tuple[bool, int]:
    """The use of one installation, without the host that runs make from cron."""
    number = sum(row["distinct_id"] == one for row in rows)
    return number < 1000, number


def main() -> None:
    """Write the pictures into the folder that the command line names."""
    if not FOUND:
        sys.exit("Chromium is not installed: apt-get install chromium")
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        results, report = Path(folder) / "index.html", Path(folder) / "report.html"
        results.write_text(made_from(sample_history(), DECISIONS, links(None))["index.html"])
        report.write_text(report_page())
        for name, file, width, height, scheme in (
            ("results", results, 1100, 1300, "light"),
            ("results-dark", results, 1100, 1300, "dark"),
            ("results-phone", results, 390, 1300, "light"),
            ("report", report, 1100, 1300, "light"),
        ):
            browser.media(prefers_color_scheme=scheme)
            browser.open(file, width)
            browser.picture(target / f"{name}.png", height)


if __name__ == "__main__":
    main()
