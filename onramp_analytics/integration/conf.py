"""Write `make.d/analytics.conf`, which sets where OnRamp's events are sent, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from onramp_analytics.consent import AT_ONCE, DAILY
from onramp_analytics.errors import Misconfigured
from onramp_analytics.posthog import destination

FILE = destination.CONF
KEY, HOST, SEND = destination.CONF_KEY, destination.CONF_HOST, destination.CONF_SEND
DOCS_URL, CONTACT = destination.CONF_DOCS, destination.CONF_CONTACT
#: option of `install` -> key in the file, in the order of the file
OPTIONS = {"--api-key": KEY, "--host": HOST, "--send": SEND, "--docs-url": DOCS_URL, "--contact": CONTACT}

_ABOUT = """\
# The PostHog project of OnRamp, how often events are sent (daily or at-once), the page for users, and whom to ask.
# To change it: onramp-analytics install --help
"""
_PLAIN = re.compile(r"[A-Za-z0-9.:/_~\[\]-]+")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._~/#-]*)?")
#: Printed on terminals and in Markdown.
_ONE_LINE = re.compile(r"[\w .,:;/~@%+#?=&()'-]{1,200}")


def parse(content: str) -> dict[str, str]:
    """Return the settings of the file, by key."""
    pairs = (line.partition("=") for line in content.splitlines() if not line.startswith("#"))
    return {key: value for key, equals, value in pairs if equals and key in OPTIONS.values()}


def chosen(known: Mapping[str, str], options: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings of the file, updated with the options of `install`.

    Args:
        known: the settings of the file.
        options: option -> its value; None keeps the setting.

    Returns:
        The settings. The default host of a project is PostHog's US cloud.

    Raises:
        Misconfigured: a value is not valid; the error names the option.
    """
    found = {SEND: DAILY, **known}
    for option, value in options.items():
        if value is not None:
            found[OPTIONS[option]] = _CHECKS[option](value.strip(), option)
    if KEY in found:
        found.setdefault(HOST, destination.US_CLOUD)
    return found


def text(settings: Mapping[str, str]) -> str:
    """Return the content of the file."""
    return _ABOUT + "".join(f"{key}={settings[key]}\n" for key in OPTIONS.values() if key in settings)


def _host(value: str, option: str) -> str:
    host = destination.host_of(value, option, allow_http=False)
    if not _PLAIN.fullmatch(host):
        raise Misconfigured(f"{option} contains a character that is special in Markdown: use a plain URL")
    return host


def _send(value: str, option: str) -> str:
    if value not in (DAILY, AT_ONCE):
        raise Misconfigured(f"{option} must be {DAILY} or {AT_ONCE}")
    return value


def _url(value: str, option: str) -> str:
    if not _URL.fullmatch(value):
        raise Misconfigured(f"{option} is not a valid URL: use, for example, https://example.org/onramp/analytics")
    return value


def _contact(value: str, option: str) -> str:
    if not _ONE_LINE.fullmatch(value):
        raise Misconfigured(f"{option} must be one line of at most 200 characters, for example, privacy@example.org")
    return value


_CHECKS: dict[str, Callable[[str, str], str]] = {
    "--api-key": destination.key_of,
    "--host": _host,
    "--send": _send,
    "--docs-url": _url,
    "--contact": _contact,
}
