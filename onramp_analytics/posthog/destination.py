"""Decide where events are sent, and how often. Every command and the flusher use these functions.

`make.d/analytics.conf` in the checkout names the PostHog project of OnRamp. A key and a host in the environment
override it, if both are set.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onramp_analytics import checkout, consent
from onramp_analytics.consent import AT_ONCE, DAILY, Consent
from onramp_analytics.errors import Misconfigured

if TYPE_CHECKING:
    from onramp_analytics.consent import Send

KEY_VARIABLE = "ONRAMP_ANALYTICS_API_KEY"
HOST_VARIABLE = "ONRAMP_ANALYTICS_HOST"
ALLOW_HTTP = "ONRAMP_ANALYTICS_ALLOW_HTTP"

CONF = "make.d/analytics.conf"
CONF_KEY, CONF_HOST, CONF_SEND = "ANALYTICS_API_KEY", "ANALYTICS_HOST", "ANALYTICS_SEND"
CONF_DOCS, CONF_CONTACT = "ANALYTICS_DOCS_URL", "ANALYTICS_CONTACT"

US_CLOUD = "https://us.i.posthog.com"
#: Addresses of PostHog's application, as copied from a browser, and the hosts that receive events.
_INGESTION = {
    "https://app.posthog.com": US_CLOUD,
    "https://us.posthog.com": US_CLOUD,
    "https://eu.posthog.com": "https://eu.i.posthog.com",
}
_APPLICATION = {US_CLOUD: "https://us.posthog.com", "https://eu.i.posthog.com": "https://eu.posthog.com"}


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked key and host."""

    key: str
    host: str

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        return is_loopback(self.host)

    @property
    def agreement(self) -> str:
        """The host and the project key, in the form of `onramp.lock`. The project key is public."""
        return f"{self.host} {self.key}"


def conf(root: bytes) -> dict[str, str]:
    """Return the settings of `make.d/analytics.conf`; none if it is missing, a link, or not a small regular file."""
    try:
        content = checkout.read(os.path.join(root, os.fsencode(CONF)))
    except OSError:
        return {}
    return parse(content.decode("utf-8", "replace"))


def parse(content: str) -> dict[str, str]:
    """Return the settings in the content of `make.d/analytics.conf`, by key."""
    pairs = (line.partition("=") for line in content.splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def of(root: bytes, environ: Mapping[str, str]) -> Destination:
    """Return where the events of a checkout are sent.

    Args:
        root: the checkout.
        environ: the environment; its key and host override those of the checkout.

    Raises:
        Misconfigured: there is no key, or the key or the host is not valid. The error never quotes a key.
    """
    files = consent.env_files(root)
    named = consent.names_in(files, (KEY_VARIABLE.encode(), HOST_VARIABLE.encode()))
    if named:
        raise Misconfigured(
            f"a .env file of the checkout names {named}: delete that line; OnRamp's own setting is in {CONF}"
        )
    allow_http = environ.get(ALLOW_HTTP) == "1" and not consent.names_in(files, (ALLOW_HTTP.encode(),))
    key, host = environ.get(KEY_VARIABLE, "").strip(), environ.get(HOST_VARIABLE, "").strip()
    if bool(key) != bool(host):
        given, missing = (KEY_VARIABLE, HOST_VARIABLE) if key else (HOST_VARIABLE, KEY_VARIABLE)
        raise Misconfigured(f"{given} is set without {missing}: set both, or neither")
    if key:
        return Destination(key_of(key, KEY_VARIABLE), host_of(host, HOST_VARIABLE, allow_http=allow_http))
    settings = conf(root)
    if not settings.get(CONF_KEY):
        raise Misconfigured(
            f"no PostHog project is set: the maintainers of OnRamp set it in {CONF}; "
            f"to use your own project, set {KEY_VARIABLE} and {HOST_VARIABLE}"
        )
    return Destination(
        key_of(settings[CONF_KEY], f"{CONF_KEY} in {CONF}"),
        host_of(settings.get(CONF_HOST) or US_CLOUD, f"{CONF_HOST} in {CONF}", allow_http=allow_http),
    )


def send(root: bytes, environ: Mapping[str, str]) -> Send:
    """Return how often the events of a checkout are sent: DAILY, or AT_ONCE to a user-defined project."""
    own = environ.get(KEY_VARIABLE, "").strip() and environ.get(HOST_VARIABLE, "").strip()
    return AT_ONCE if own or conf(root).get(CONF_SEND) == AT_ONCE else DAILY


def objection(current: Consent, where: Destination, how_often: Send) -> str:
    """Return why the consent does not cover a destination; empty if it does.

    Args:
        current: the consent.
        where: where events would be sent.
        how_often: DAILY or AT_ONCE.
    """
    if current.agreed_to != where.agreement:
        return f"you have not agreed to send events to this project at {where.host}"
    if how_often == AT_ONCE != current.agreed_send:
        return "you have agreed to send events once a day, but they would be sent after each command"
    return ""


def key_of(text: str, name: str) -> str:
    """Return the API key of a project.

    Args:
        text: the key.
        name: the name of the setting, for the error.

    Raises:
        Misconfigured: it does not have the form `phc_…`. The error never quotes it.
    """
    if text.startswith("phx_"):
        raise Misconfigured(f"{name} contains a personal secret (phx_…): use the project's API key (phc_…) instead")
    if not (text.startswith("phc_") and text.isascii() and text[4:].replace("_", "").isalnum()):
        raise Misconfigured(f"{name} is not a valid PostHog project key: it must be phc_ and letters or digits")
    return text


def masked(key: str) -> str:
    """Return the parts of a key by which a user recognizes it."""
    return f"{key[:4]}…{key[-4:]}" if len(key) >= 16 else f"{key[:4]}…"


def host_of(text: str, name: str, *, allow_http: bool) -> str:
    """Return the address that events are sent to, without a trailing slash.

    Args:
        text: the address.
        name: the name of the setting, for the error.
        allow_http: whether `http://` is allowed for a host other than this machine.

    Raises:
        Misconfigured: it is not `https://`, and not `http://` on this machine or explicitly allowed.
    """
    value = text.rstrip("/")
    try:
        parts = urllib.parse.urlsplit(value)
        hostname, _ = parts.hostname, parts.port
    except ValueError:
        hostname = None
    if not hostname or not value.isprintable() or not value.isascii() or " " in value or parts.query or parts.fragment:
        raise Misconfigured(f"{name} is not a valid URL: use, for example, https://eu.i.posthog.com")
    if "@" in parts.netloc:
        raise Misconfigured(
            f"{name} contains a user name or password: use only the URL, for example, https://{hostname}"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and (_is_loopback(hostname) or allow_http)):
        raise Misconfigured(
            f"{name} must begin with https://; for your own server without TLS, set {ALLOW_HTTP}=1 and use http://"
        )
    return _INGESTION.get(value, value)


def application(environ: Mapping[str, str]) -> str:
    """Return the address of PostHog's application, where maintainers see the events.

    Raises:
        Misconfigured: see `host_of`. `http://` is never allowed, since a personal key is sent.
    """
    text = environ.get(HOST_VARIABLE, "").strip()
    address = host_of(text, HOST_VARIABLE, allow_http=False) if text else US_CLOUD
    return _APPLICATION.get(address, address)


def is_loopback(address: str) -> bool:
    """Return whether an address, like "http://127.0.0.1:8000", is on this machine."""
    return _is_loopback(urllib.parse.urlsplit(address).hostname or "")


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"
