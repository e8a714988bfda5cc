"""Check what the checkout does not decide: Python, the installed packages, the proxy and the certificates."""

from __future__ import annotations

import os
import sys
import urllib.parse
from collections.abc import Mapping
from importlib import metadata
from importlib.util import cache_from_source

import onramp_analytics
from onramp_analytics.health.check import OK, WRONG, Check

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # those that requests reads
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
#: The modules of the hot path, each of which every start would compile again if its byte-code could not be kept.
HOT = ("checkout", "consent", "events", "make_events", "settings", "spawn", "spool", "tracker")


def proxy(environ: Mapping[str, str]) -> Check:
    """Report the proxies that the environment names, without their passwords."""
    found = [f"{name} is {_without_password(environ[name])}" for name in _PROXIES if environ.get(name)]
    return Check("proxy", OK, "; ".join(found) or "none")


def _without_password(url: str) -> str:
    """Return the address of a proxy without the user's name and password."""
    try:
        parts = urllib.parse.urlsplit(url)
        address = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "not a valid URL"
    return f"{address} with a password" if "@" in parts.netloc else address


def certificates(environ: Mapping[str, str]) -> Check:
    """Check that the certificates that the environment names exist."""
    for name in _CERTIFICATES:
        if environ.get(name) and not os.path.exists(environ[name]):
            return Check("certificates", WRONG, f"{name} names a file that does not exist: unset it, or correct it")
    named = [name for name in _CERTIFICATES if environ.get(name)]
    return Check("certificates", OK, f"from {named[0]}" if named else "default")


def versions() -> Check:
    """Report the versions, and check that the SDK is installed."""
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        posthog = metadata.version("posthog")
    except (OSError, metadata.PackageNotFoundError):
        result = "the package posthog cannot be read, so nothing can be sent: install onramp-analytics again"
        return Check("versions", WRONG, result)
    return Check("versions", OK, f"onramp-analytics {onramp_analytics.__version__}, Python {python}, posthog {posthog}")


def byte_code() -> Check:
    """Check that Python can keep the byte-code of the hot path."""
    here = os.path.dirname(os.path.abspath(onramp_analytics.__file__))
    missing = [name for name in HOT if not os.path.exists(cache_from_source(os.path.join(here, f"{name}.py")))]
    if missing and not os.access(here, os.W_OK):
        remedy = f"as its owner, run `python3 -m compileall {here}`"
        result = f"Python cannot store its compiled files in {here}, so every command starts more slowly: {remedy}"
        return Check("Python cache", WRONG, result)
    return Check("Python cache", OK, "present" if not missing else "written with the next command")
