"""Decide whether events may be recorded, from the environment, the two `.env` files and `onramp.lock`.

No other module decides this. Consent belongs to one user in one folder. `enable` writes random bits into `onramp.lock`.
In the user's state folder, it also creates a file that is named after these bits and contains the path of the checkout.
Consent counts only while that path leads to the checkout, so analytics are off in one that was copied, moved or cloned.
"""

import posix

from onramp_analytics import settings
from onramp_analytics.checkout import LOCK_FILE, read
from onramp_analytics.events import VERSION, is_uuid4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Send = Literal["daily", "at-once"]
    Change = Literal["", "withdrawn", "replaced"]

DO_NOT_TRACK = b"DO_NOT_TRACK"
ENABLED_VARIABLE = b"ONRAMP_ANALYTICS_ENABLED"
ENV_FILES = (b"/.env", b"/services-enabled/.env")
YES = (b"1", b"true", b"yes", b"on")
NOT_SET = (b"", b"0", b"false")  # values of DO_NOT_TRACK that count as not set (consoledonottrack.com)
DAILY: "Send" = "daily"
AT_ONCE: "Send" = "at-once"


class Consent:
    """The decision, and what the user agreed to.

    Attributes:
        on: whether events may be recorded.
        why: the reason for the decision, as a clause for the user.
        id: the identifier of the installation; empty if there is no valid one.
        version: the version of the catalog that the user agreed to; 0 while off.
        is_here: whether `onramp.lock` was written by `enable`, by this user, in this folder.
        asks: whether the environment asks to turn analytics on, and only the notice is missing.
        lock: the content of `onramp.lock` that `ask` read; None if there is no valid one.
    """

    __slots__ = ("_found", "asks", "id", "is_here", "lock", "on", "version", "why")

    def __init__(
        self, why: str, found: "Mapping[bytes, bytes]", known: str, *, on: bool, is_here: bool, asks: bool
    ) -> None:
        self._found = found
        self.on = on
        self.why = why
        self.is_here = is_here
        self.asks = asks
        self.lock: bytes | None = None
        self.id = known
        self.version = version(found.get(settings.AGREED)) if on else 0

    @property
    def shown_version(self) -> int:
        """The newest version of the catalog that was shown to the user; this program does not need to know it."""
        return max(_number(self._found.get(settings.TOLD)), self.version)

    @property
    def agreed_to(self) -> str:
        """The host and the key that the user agreed to, with a space between them; empty if none."""
        return self._found.get(settings.AGREED_TO, b"").decode("ascii", "replace")

    @property
    def agreed_send(self) -> "Send":
        """How often events are sent, as the user agreed: DAILY or AT_ONCE."""
        return AT_ONCE if self._found.get(settings.AGREED_SEND) == AT_ONCE.encode() else DAILY


def decide(
    environ: "Mapping[bytes, bytes]", forbidden: str, found: "Mapping[bytes, bytes]", *, is_here: bool
) -> Consent:
    """Return the consent that follows from what was read.

    Args:
        environ: the environment.
        forbidden: why the checkout or a `.env` file turns analytics off; empty if neither does.
        found: the settings of this user's own `onramp.lock`.
        is_here: whether the file in the user's state folder names this checkout.
    """
    known = found.get(settings.ID, b"").decode("ascii", "replace") if is_here else ""
    known = known if is_uuid4(known) else ""
    agreed = is_here and found.get(settings.ENABLED) == b"1" and found.get(settings.NOTICE_SHOWN) == b"1"
    on = asks = False
    if do_not_track(environ):
        why = "DO_NOT_TRACK is set"
    elif forbidden:
        why = forbidden
    elif off := _off_by_variable(environ):
        why = off
    elif agreed and not known:
        why = "onramp.lock contains no valid identifier; run `make analytics-enable` to create one"
    elif agreed:
        on, why = True, "onramp.lock contains ANALYTICS_ENABLED=1"
    elif found.get(settings.ENABLED) == b"0":
        why = "onramp.lock contains ANALYTICS_ENABLED=0"
    elif found.get(settings.ENABLED) == b"1" and not is_here:
        why = "onramp.lock was not written by you for this folder; run `make analytics-enable` to start over here"
    elif ENABLED_VARIABLE in environ:
        asks, why = True, "the notice has not been shown yet; the next make command on a terminal shows it"
    else:
        why = "you have not opted in"
    return Consent(why, found, known, on=on, is_here=is_here, asks=asks)


def do_not_track(environ: "Mapping[bytes, bytes]") -> bool:
    """Return whether DO_NOT_TRACK is set, which overrides everything else (consoledonottrack.com)."""
    return environ.get(DO_NOT_TRACK, b"").lower() not in NOT_SET


def ask(environ: "Mapping[bytes, bytes]", root: bytes) -> Consent:
    """Read the environment and the files, and return the consent."""
    lock = settings.load(root)
    found = settings.parse(lock)
    heard, forbidden = environ, ""
    if is_another_users(root):
        forbidden = "root records nothing in the checkout of another user"
    elif ENABLED_VARIABLE in environ and not found and _has_another_users_lock(root):
        forbidden = "onramp.lock belongs to another user; `make analytics-enable` replaces it"
    elif found or ENABLED_VARIABLE in environ:
        contents = env_files(root)
        forbidden = refusal(contents)
        heard = _without_exported(environ, contents)
    answer = decide(heard, forbidden, found, is_here=leads_here(root, environ, found.get(settings.CHECKOUT, b"")))
    answer.lock = lock
    return answer


def _without_exported(
    environ: "Mapping[bytes, bytes]", contents: "tuple[bytes, ...] | None"
) -> "Mapping[bytes, bytes]":
    """Return the environment without ONRAMP_ANALYTICS_ENABLED if it says yes and a `.env` file names it.

    OnRamp may have exported it from that file, so it is not a decision of the user.
    """
    if ENABLED_VARIABLE not in environ or _off_by_variable(environ) or not names_in(contents, (ENABLED_VARIABLE,)):
        return environ
    return {name: value for name, value in environ.items() if name != ENABLED_VARIABLE}


def change_since(given: Consent, environ: "Mapping[bytes, bytes]", root: bytes) -> "Change":
    """Return what happened since `ask` returned a consent: nothing, it was withdrawn, or its identifier was replaced.

    `disable` and `reset-id` change `onramp.lock` before they delete queued events. If it is unchanged, neither of them
    has deleted an event yet. One that is running will also delete what the caller writes next. So in that case, no
    other file is read.
    """
    if settings.load(root) == given.lock:
        return ""
    current = ask(environ, root)
    if not current.on:
        return "withdrawn"
    return "" if current.id == given.id else "replaced"


def is_another_users(root: bytes) -> bool:
    """Return whether this process runs as the superuser in the checkout of another user. If so, no file is touched."""
    try:
        return posix.geteuid() == 0 != posix.stat(root).st_uid
    except OSError:
        return False


def _has_another_users_lock(root: bytes) -> bool:
    try:
        return posix.stat(root + b"/" + LOCK_FILE, follow_symlinks=False).st_uid != posix.geteuid()
    except OSError:
        return False


def env_files(root: bytes) -> "tuple[bytes, ...] | None":
    """Return the contents of the `.env` files of a checkout; None if one exists and cannot be read."""
    found = []
    for name in ENV_FILES:
        try:
            found.append(read(root + name, follow=True))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return tuple(found)


def refusal(contents: "tuple[bytes, ...] | None") -> str:
    """Return why the `.env` files turn analytics off; empty if they do not.

    OnRamp exports the variables of these files to its recipes, where they look like those of the environment. So these
    files can only turn analytics off. A line that contains DO_NOT_TRACK or ONRAMP_ANALYTICS_ENABLED does that, unless
    it is a comment, or has the form `[export] NAME = value` with a harmless value.
    """
    if contents is None:
        return "a .env file of the checkout cannot be read"
    for content in contents:
        if DO_NOT_TRACK not in content and ENABLED_VARIABLE not in content:
            continue
        for line in content.split(b"\n"):
            for name, harmless in ((DO_NOT_TRACK, NOT_SET), (ENABLED_VARIABLE, YES)):
                if name in line and not line.lstrip().startswith(b"#") and _value(line, name) not in harmless:
                    return f"a .env file of the checkout mentions {name.decode()}"
    return ""


def off_by_settings(environ: "Mapping[bytes, bytes]", root: bytes) -> str:
    """Return why ONRAMP_ANALYTICS_ENABLED or a `.env` file turns analytics off; empty if neither does."""
    return _off_by_variable(environ) or refusal(env_files(root))


def _off_by_variable(environ: "Mapping[bytes, bytes]") -> str:
    is_no = environ.get(ENABLED_VARIABLE, YES[0]).lower() not in YES
    return "ONRAMP_ANALYTICS_ENABLED turns them off" if is_no else ""


def names_in(contents: "tuple[bytes, ...] | None", variables: "tuple[bytes, ...]") -> str:
    """Return the first of the variables that the `.env` files name; empty if they name none."""
    for content in contents or ():
        for line in content.split(b"\n"):
            if not line.lstrip().startswith(b"#"):
                for name in variables:
                    if name in line:
                        return name.decode()
    return ""


def _value(line: bytes, name: bytes) -> "bytes | None":
    """Return the value of a line of the form `[export] NAME = value`; None for any other line."""
    before, equals, value = line.partition(b"=")
    words = before.split()
    return value.strip().lower() if equals and words in ([name], [b"export", name]) else None


def version(value: "bytes | None") -> int:
    """Return the version of the catalog that a setting names; 1 if it does not name a known version."""
    number = _number(value)
    return number if 1 <= number <= VERSION else 1


def _number(value: "bytes | None") -> int:
    """Return the number that a setting names, of one to three digits; 0 if it names none."""
    if value and len(value) <= 3 and value.isdigit() and not value.startswith(b"0"):
        return int(value)
    return 0


def state_file(environ: "Mapping[bytes, bytes]", bits: bytes) -> "bytes | None":
    """Return the path of the file in the user's state folder.

    Returns:
        None if the bits are not 32 hexadecimal digits, or if the user has no home folder.

    The folder is that of `platformdirs.user_state_dir`, which takes too long to load here. A test compares the two.
    """
    if len(bits) != 32 or bits.translate(None, b"0123456789abcdef"):
        return None
    folder = environ.get(b"XDG_STATE_HOME", b"")
    if not folder.startswith(b"/"):
        home = environ.get(b"HOME", b"")
        if not home.startswith(b"/"):
            import pwd  # rarely needed

            try:
                home = pwd.getpwuid(posix.getuid()).pw_dir.encode("utf-8", "surrogateescape")
            except KeyError:
                return None
        folder = home.rstrip(b"/") + b"/.local/state"
    return folder + b"/onramp-analytics/" + bits if folder.startswith(b"/") else None


def leads_here(root: bytes, environ: "Mapping[bytes, bytes]", bits: bytes) -> bool:
    """Return whether the file of those bits belongs to this user and names this folder.

    The numbers of device and inode are compared now and never stored. ext4 reuses inode numbers, btrfs snapshots share
    them, and a network file system gets a new device number when it is mounted again.
    """
    path = state_file(environ, bits)
    if path is None:
        return False
    try:
        named = read(path, owner=posix.geteuid()).removesuffix(b"\n")
        if named == root:
            return True
        there, here = posix.stat(named), posix.stat(root)
    except (OSError, ValueError):  # ValueError: a NUL byte in the path
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
