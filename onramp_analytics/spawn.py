"""Start the flusher: detached from make, its terminal and its descriptors, for the price of one spawn."""

import posix
import sys
import time

from onramp_analytics.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the flusher needs of the environment: what it is allowed to do, where to send, and how to get there.
KEPT = (
    b"DO_NOT_TRACK ONRAMP_ANALYTICS_ENABLED ONRAMP_ANALYTICS_API_KEY ONRAMP_ANALYTICS_HOST ONRAMP_ANALYTICS_ALLOW_HTTP "
    b"HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    b"REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR HOME XDG_STATE_HOME"
).split()

#: OnRamp's tool container, sietch, mounts the checkout here and ends with its command; a flusher would end with it.
#: The events stay in the checkout, and the next flusher of the host sends them.
_SIETCH_ROOT = b"/app"
_IN_DOCKER = b"/.dockerenv"

_NULL = b"/dev/null"
_STREAMS = [(posix.POSIX_SPAWN_OPEN, fd, _NULL, posix.O_RDWR, 0) for fd in (0, 1, 2)]
_started: set[int] = set()  # children of this process that it has not yet collected


def start_flusher(spool: Spool, environ: "Mapping[bytes, bytes]") -> None:
    """Start a flusher for the spool if one is due: no other one is alive, and the next try is not later.

    Raises:
        OSError: it could not be started. The events stay where they are.
    """
    if _started:
        _collect()
    if not sys.executable or not spool.flusher_is_due(time.time()):
        return
    if spool.root == _SIETCH_ROOT and posix.access(_IN_DOCKER, posix.F_OK):
        return
    kept = {name: environ[name] for name in KEPT if name in environ}
    first_life = __file__.removesuffix("spawn.py") + "detached.py"
    command: list[str | bytes] = [sys.executable, "-IS", first_life, spool.root]
    _started.add(_spawn(command, kept))


def _spawn(command: "list[str | bytes]", environ: "Mapping[bytes, bytes]") -> int:
    """Start a process in a session of its own, so that no Ctrl-C at this terminal reaches it, and return its pid.

    Spawned, not forked: the caller may have threads. `detached.py` forks once more, so that it leads no session.
    """
    how = {"file_actions": _STREAMS, "setsigmask": ()}
    try:
        return posix.posix_spawn(sys.executable, command, environ, **how, setsid=True)  # type: ignore[arg-type]
    except NotImplementedError:  # a C library without it: `detached.py` leaves the session a few milliseconds later
        return posix.posix_spawn(sys.executable, command, environ, **how)  # type: ignore[arg-type]


def _collect() -> None:
    """Take the exit status of children that have ended, so that a long-lived caller keeps no zombies."""
    for pid in tuple(_started):
        try:
            ended = posix.waitpid(pid, posix.WNOHANG)[0]
        except OSError:  # not our child: we are a fork, or the caller collected it
            ended = pid
        if ended:
            _started.discard(pid)  # another thread may have been here first
