"""Where events go: the key and the host of a PostHog project, taken from the environment and checked."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from onramp_analytics.errors import Misconfigured

KEY_VARIABLES = ("ONRAMP_ANALYTICS_API_KEY", "POSTHOG_API_KEY")
HOST_VARIABLES = ("ONRAMP_ANALYTICS_HOST", "POSTHOG_HOST")
ALLOW_HTTP = "ONRAMP_ANALYTICS_ALLOW_HTTP"

US_CLOUD = "https://us.i.posthog.com"
#: Addresses of PostHog's application, which people copy from their browser, and the hosts that take events.
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


def from_environ(environ: Mapping[str, str]) -> Destination:
    """Return where the environment says that events go.

    Raises:
        Misconfigured: the key is missing, or the key or the host cannot be right. Never quotes a key.
    """
    return Destination(key(environ), host(environ))


def key(environ: Mapping[str, str]) -> str:
    """Return the project's API key.

    Raises:
        Misconfigured: it is missing, or not of the form `phc_…`.
    """
    found = _first(environ, KEY_VARIABLES)
    if not found:
        raise Misconfigured("no PostHog key: set ONRAMP_ANALYTICS_API_KEY to the project's key (phc_…)")
    name, value = found
    return key_of(value, name)


def key_of(text: str, name: str) -> str:
    """Return the API key of a project.

    Args:
        text: the key.
        name: where it was given, for the error.

    Raises:
        Misconfigured: it is not of the form `phc_…`. Never quotes it.
    """
    if text.startswith("phx_"):
        raise Misconfigured(f"{name} holds a personal secret (phx_…): use the project's API key (phc_…) instead")
    if not (text.startswith("phc_") and text.isascii() and text.replace("_", "").isalnum()):
        raise Misconfigured(f"{name} is no PostHog project key: it must be phc_ and letters or digits")
    return text


def masked(key: str) -> str:
    """Return enough of a key to recognise it."""
    return f"{key[:4]}…{key[-4:]}" if len(key) >= 16 else f"{key[:4]}…"


def host(environ: Mapping[str, str]) -> str:
    """Return the address that events are sent to, without a slash at its end; PostHog's US cloud where none is set.

    Raises:
        Misconfigured: it is not `https://`, and not `http://` on this machine or explicitly allowed.
    """
    found = _first(environ, HOST_VARIABLES)
    if not found:
        return US_CLOUD
    name, value = found
    return host_of(value, name, allow_http=environ.get(ALLOW_HTTP) == "1")


def host_of(text: str, name: str, *, allow_http: bool) -> str:
    """Return the address that events are sent to, without a slash at its end.

    Args:
        text: the address.
        name: where it was given, for the error.
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
        raise Misconfigured(f"{name} is no address: use one like https://eu.i.posthog.com")
    if "@" in parts.netloc:
        raise Misconfigured(f"{name} holds a user name or password: use the address alone, like https://{hostname}")
    if parts.scheme != "https" and not (parts.scheme == "http" and (_is_loopback(hostname) or allow_http)):
        raise Misconfigured(
            f"{name} must begin with https://; for a server of your own without TLS set {ALLOW_HTTP}=1 and use http://"
        )
    return _INGESTION.get(value, value)


def application(environ: Mapping[str, str]) -> str:
    """Return the address of PostHog's application, which is where maintainers look at what `host` took.

    Raises:
        Misconfigured: as `host`; and `http://` is never enough here, where a personal key is sent.
    """
    address = host(environ)
    if address.startswith("http://") and not is_loopback(address):
        raise Misconfigured(f"a personal key is not sent over http://: use https:// instead of {address}")
    return _APPLICATION.get(address, address)


def is_loopback(address: str) -> bool:
    """Return whether an address, like "http://127.0.0.1:8000", is on this machine."""
    return _is_loopback(urllib.parse.urlsplit(address).hostname or "")


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str] | None:
    return next(((name, environ[name].strip()) for name in names if environ.get(name, "").strip()), None)


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"
