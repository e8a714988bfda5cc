"""Describe network errors in one sentence, with what to do. Loads `requests`, but not PostHog's SDK."""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse

import requests
import requests.utils

LONGEST_REASON = 200  # characters of a server's answer that are kept


def clean(message: object, key: str) -> str:
    """Return a message of a server as one short line of ASCII, without the key."""
    text = "".join(c if " " <= c <= "~" else " " for c in str(message).replace(key, "(key)"))
    return " ".join(text.split())[:LONGEST_REASON]


def network_reason(error: Exception) -> str:
    """Return what failed and what to do. The exception's text may hold a proxy's password, so it is not used."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS connection to the host is not trusted: check the clock, the proxy and REQUESTS_CA_BUNDLE"
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)):
        return "the proxy does not work: check HTTPS_PROXY"
    if isinstance(error, requests.Timeout):
        return "the host did not answer in time: check the network connection"
    cause = repr(error)
    if "NameResolutionError" in cause:
        return "the host's name cannot be resolved: check the network connection and DNS"
    if "Connection refused" in cause:
        return "the host refused the connection: check the host's name and the firewall"
    return "the connection failed: check the network connection and the host's name"


def blocked_reason(host: str) -> str:
    """Return a sentence about a DNS blocker, if one is the cause.

    Blockers like Pi-hole answer 0.0.0.0, :: or 127.0.0.1 for a name on their lists. A connection to such an address
    reaches a server on this machine (on an OnRamp host, Traefik), so the error itself names a wrong cause.

    Args:
        host: the host's address, "https://eu.i.posthog.com", after a request to it has failed.

    Returns:
        The sentence. Empty if the name does not resolve to this machine, if it is meant to, or if a proxy resolves it.
    """
    name = urllib.parse.urlsplit(host).hostname or ""
    if requests.utils.select_proxy(host, requests.utils.get_environ_proxies(host)):
        return ""
    local = next((address for address in _addresses(name) if _is_here(address)), "")
    if not local or name in (local, "localhost"):
        return ""
    return f"{name} resolves to {local}, this machine: a DNS blocker (Pi-hole, AdGuard Home) blocks it; allow it there"


def _addresses(name: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def _is_here(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.is_loopback or parsed.is_unspecified
