"""Start the flusher with one `posix_spawn`, detached from make and from its terminal."""

import posix
import sys
import time

from onramp_analytics.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The variables that the flusher needs: consent, destination, proxy and certificates.
KEPT = (
    b"DO_NOT_TRACK ONRAMP_ANALYTICS_ENABLED ONRAMP_ANALYTICS_API_KEY ONRAMP_ANALYTICS_HOST ONRAMP_ANALYTICS_ALLOW_HTTP "
    b"HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    b"REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR HOME XDG_STATE_HOME"
).split()

#: OnRamp's tool container, sietch, mounts the checkout here and ends with its command, which would kill a flusher.
_SIETCH_ROOT = b"/app"
_IN_DOCKER = b"/.dockerenv"

_NULL = b"/dev/null"
_STREAMS = [(posix.POSIX_SPAWN_OPEN, fd, _NULL, posix.O_RDWR, 0) for fd in (0, 1, 2)]
_started: set[int] = set()  # children whose exit status has not been collected yet


def start_flusher(spool: Spool, environ: "Mapping[bytes, bytes]") -> None:
    """Start a flusher for the spool if one is due: none is running, and the time of the next try has come.

    Raises:
        OSError: it could not be started. The events stay queued.
    """
    if _started:
        _collect()
    if not sys.executable or not spool.flusher_is_due(time.time()):
        return
    if spool.root == _SIETCH_ROOT and posix.access(_IN_DOCKER, posix.F_OK):
        return
    kept = {name: environ[name] for name in KEPT if name in environ}
    script = __file__.removesuffix("spawn.py") + "detached.py"
    command: list[str | bytes] = [sys.executable, "-IS", script, spool.root]
    _started.add(_spawn(command, kept))


def _spawn(command: "list[str | bytes]", environ: "Mapping[bytes, bytes]") -> int:
    """Start a process in a new session, so that Ctrl-C in this terminal does not reach it, and return its pid.

    It is spawned and not forked, since the caller may have threads. `detached.py` then forks, so that the flusher does
    not lead the session.
    """
    how = {"file_actions": _STREAMS, "setsigmask": ()}
    try:
        return posix.posix_spawn(sys.executable, command, environ, **how, setsid=True)  # type: ignore[arg-type]
    except NotImplementedError:  # the C library lacks setsid here; `detached.py` calls it a few milliseconds later
        return posix.posix_spawn(sys.executable, command, environ, **how)  # type: ignore[arg-type]


def _collect() -> None:
    """Collect the exit status of ended children, so that a long-lived caller keeps no zombies."""
    for pid in tuple(_started):
        try:
            ended = posix.waitpid(pid, posix.WNOHANG)[0]
        except OSError:  # not our child: this is a fork, or the caller collected it
            ended = pid
        if ended:
            _started.discard(pid)  # another thread may have been here first
