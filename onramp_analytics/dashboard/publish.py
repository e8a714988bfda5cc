"""Publish the page of results: query PostHog if an edition is due, and write the site into a folder.

Published numbers are never computed again: `history.json` is replaced first, and the rest of the site is built from it.
So a run after an interrupted one, or before the next edition is due, rebuilds the same site.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from onramp_analytics.dashboard import pages, queries, rounding
from onramp_analytics.dashboard.pages import Page
from onramp_analytics.dashboard.queries import Period
from onramp_analytics.dashboard.site import Link, site
from onramp_analytics.errors import CouldNot
from onramp_analytics.report.files import write_all

if TYPE_CHECKING:
    from onramp_analytics.dashboard.application import Answer, Application

HISTORY = "history.json"
ASKED = (
    *("Installations", "Enabled services", "Enabled overrides", "Given up within 30 days"),
    *("Commands", "Error rate by command", "Duration by command"),
)


def publish(application: Application, folder: Path, made: date, at_least: int, link: Link) -> str:
    """Add an edition to the site if one is due, and write the site.

    Args:
        application: the PostHog project.
        folder: the folder of the site, which may hold a `decisions.md` of the maintainers.
        made: today.
        at_least: the fewest installations that are shown.
        link: see `site`.

    Returns:
        One sentence about what was done.

    Raises:
        CouldNot: PostHog did not answer, or the folder cannot be read or written. Nothing has changed.
    """
    history = read_history(folder)
    wait = pages.next_day(history)
    if wait and made < wait:
        rebuild(folder, history, link)
        return f"Rebuilt {folder} from its history. The next edition can be published on {wait}."
    check(application, made)
    page = _ask(application, history, made, at_least)
    if page is None:
        if history:
            rebuild(folder, history, link)
        return "Fewer than five installations are new since the last edition, so there is no new one."
    history.append(page)
    rebuild(folder, history, link)
    return f"Wrote {folder / 'index.html'}: {page.first} to {page.last}, edition {len(history)}."


def asked(made: date, history: list[Page]) -> dict[str, str]:
    """Return the queries for an edition that is created on a day: name -> text."""
    first, last = pages.days(made)
    period = queries.between(first, last, made)
    known = _period(history[-1]) if history else queries.nothing_before(first)
    texts = {name: queries.fill(queries.named(name).text, period) for name in ASKED}
    return {"New installations": queries.fill(queries.new_installations(), period, known), **texts}


def check(application: Application, made: date) -> None:
    """Let PostHog check each query of an edition without running it.

    Raises:
        CouldNot: PostHog rejects one of them.
    """
    for name, text in asked(made, []).items():
        wrong = application.check(text)
        if wrong:
            raise CouldNot(f'{application.host} rejects the query "{name}" ({wrong}): please report this')


def _ask(application: Application, history: list[Page], made: date, at_least: int) -> Page | None:
    texts = asked(made, history)
    if not rounding.enough_new(application.query(texts.pop("New installations"), "New installations")):
        return None
    answers: dict[str, Answer] = {name: application.query(text, name) for name, text in texts.items()}
    return Page(*pages.days(made), made, at_least, rounding.counts(answers, at_least))


def _period(page: Page) -> Period:
    return queries.between(page.first, page.last, page.made)


def read_history(folder: Path) -> list[Page]:
    """Return the editions of the site in a folder; none if there is no site.

    Raises:
        CouldNot: there is a site whose history cannot be read. It is never overwritten.
    """
    path = folder / HISTORY
    try:
        return pages.history_from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        if (folder / "index.html").exists() or (folder / "results.json").exists():
            raise CouldNot(f"{folder} contains a site without {HISTORY}: restore that file first") from None
        return []
    except OSError as error:
        raise CouldNot(f"{path} cannot be read ({error.strerror}): restore it first") from None
    except ValueError as error:
        raise CouldNot(f"{path} cannot be read ({error}): restore it first") from None


def rebuild(folder: Path, history: list[Page], link: Link) -> None:
    """Write the site that follows from its history.

    Raises:
        CouldNot: a file cannot be read or written.
    """
    files = made_from(history, _decisions(folder), link)
    try:
        (folder / "badges").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CouldNot(f"{folder} cannot be created ({error.strerror}): choose another folder") from None
    write_all(folder, files, 0o644)
    for old in folder.glob("badges/*.svg"):
        if f"badges/{old.name}" not in files:
            old.unlink(missing_ok=True)


def made_from(history: list[Page], decisions: str, link: Link) -> dict[str, str]:
    """Return every file of the site, the history first.

    Args:
        history: at least one edition, the oldest first.
        decisions: the text of `decisions.md`.
        link: see `site`.
    """
    page = history[-1]
    return {
        HISTORY: _json(pages.history_as_json(history)),
        "results.json": _json(pages.as_json(page)),
        **site(page, history[:-1], decisions, link),
    }


def _json(found: object) -> str:
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def _decisions(folder: Path) -> str:
    try:
        return (folder / "decisions.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise CouldNot(f"{folder / 'decisions.md'} cannot be read ({error}): fix it or remove it") from None
