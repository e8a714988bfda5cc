"""The rules of consent, as functions of values and from files. The commands are tested in test_optin.py."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onramp_analytics import consent, settings
from onramp_analytics.consent import AT_ONCE, DAILY
from onramp_analytics.events import VERSION
from tests.conftest import ID, STRANGER, Checkout, opt_in, put

BITS = b"0123456789abcdef" * 2
ON = f"ANALYTICS_ENABLED=1\nANALYTICS_ID={ID}\nANALYTICS_NOTICE_SHOWN=1\n".encode()
OFF = b"ANALYTICS_ENABLED=0\n"
ASKS = "asks"
DESTINATION_VARIABLES = (b"ONRAMP_ANALYTICS_API_KEY", b"ONRAMP_ANALYTICS_HOST", b"ONRAMP_ANALYTICS_ALLOW_HTTP")

#: The environment, onramp.lock, and whether events are recorded: True, False, or only after the notice.
ROWS = [
    # DO_NOT_TRACK overrides everything
    *[({"DO_NOT_TRACK": said}, ON, False) for said in ("1", "yes", "true", "2", " ", "no", "off")],
    ({"DO_NOT_TRACK": "1", "ONRAMP_ANALYTICS_ENABLED": "1"}, ON, False),
    *[({"DO_NOT_TRACK": said}, ON, True) for said in ("", "0", "False")],
    # then the variable turns analytics off
    *[({"ONRAMP_ANALYTICS_ENABLED": said}, ON, False) for said in ("0", "", "false", "off", "2", "enabled", " 1")],
    # then onramp.lock
    ({}, ON, True),
    ({}, b"OTHER=1\n" + ON, True),
    *[({"ONRAMP_ANALYTICS_ENABLED": said}, ON, True) for said in ("1", "true", "YES", "on")],
    ({"ONRAMP_ANALYTICS_ENABLED": "1"}, OFF, False),
    # then the variable turns analytics on, after the notice
    *[({"ONRAMP_ANALYTICS_ENABLED": said}, b"", ASKS) for said in ("1", "true", "YES", "on")],
    ({"ONRAMP_ANALYTICS_ENABLED": "1"}, None, ASKS),
    ({"ONRAMP_ANALYTICS_ENABLED": "1"}, ON.replace(b"NOTICE_SHOWN=1", b"NOTICE_SHOWN=0"), ASKS),
    # anything else is off
    ({}, None, False),
    ({}, b"", False),
    ({}, OFF, False),
    ({}, b"ANALYTICS_ENABLED=yes\n" + ON[20:], False),
    ({}, b" " + ON, False),
    ({}, b"#" + ON, False),
    ({}, ON.replace(b"NOTICE_SHOWN=1", b"NOTICE_SHOWN=0"), False),
    ({}, ON[: ON.rindex(b"ANALYTICS")], False),
    ({}, ON + OFF, False),
    ({}, ON + b"\0\0\0", False),
    ({}, ON.replace(b"\n", b"\r\n"), False),
]


def in_bytes(environ: dict[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(key): os.fsencode(value) for key, value in environ.items()}


def decide(
    content: bytes | None = ON, environ: dict[str, str] | None = None, *, forbidden: str = "", is_here: bool = True
) -> consent.Consent:
    return consent.decide(in_bytes(environ or {}), forbidden, settings.parse(content), is_here=is_here)


@pytest.mark.parametrize(("environ", "content", "expected"), ROWS)
def test_the_rules_hold_in_their_order(environ: dict[str, str], content: bytes | None, *, expected: bool | str) -> None:
    now = decide(content, environ)

    assert (now.on, now.asks) == (expected is True, expected == ASKS)
    assert now.why


@pytest.mark.parametrize(("environ", "content"), [(environ, content) for environ, content, on in ROWS if on is True])
def test_a_yes_counts_only_where_it_was_given_and_where_no_env_file_says_no(
    environ: dict[str, str], content: bytes
) -> None:
    elsewhere = decide(content, environ, is_here=False)
    assert not elsewhere.on
    assert elsewhere.id == ""
    assert not elsewhere.asks  # make shows no notice where a copied file says that it was shown
    assert elsewhere.why.startswith("onramp.lock was not written by you for this folder")

    forbidden = decide(content, environ, forbidden="a .env file says no")
    assert (forbidden.on, forbidden.asks, forbidden.why) == (False, False, "a .env file says no")


def test_off_in_ones_own_onramp_lock_wins_over_the_variable_wherever_it_was_written() -> None:
    for is_here in (True, False):
        now = decide(OFF, {"ONRAMP_ANALYTICS_ENABLED": "1"}, is_here=is_here)
        assert (now.on, now.asks, now.why) == (False, False, "onramp.lock contains ANALYTICS_ENABLED=0")


@pytest.mark.parametrize("found", ["", "alice", ID.upper(), "c232ab00-9414-11ec-b3c8-9f6bdeced846", "é" * 36])
def test_without_a_random_identifier_analytics_are_off_and_why_says_what_to_do(found: str) -> None:
    """The last but one is a version 1 UUID, which holds the address of a network card."""
    now = decide(ON.replace(ID.encode(), found.encode()))

    assert (now.on, now.id) == (False, "")
    assert "run `make analytics-enable` to create one" in now.why


def test_a_copied_checkout_says_why_it_is_off() -> None:
    assert "not written by you for this folder" in decide(ON, is_here=False).why


# -- what was agreed to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"1", b"%d" % (VERSION + 1), b"", b"0", b"01", b"-1", b"+1", b" 1", b"1.0", b"99", b"1000", b"\xb2", None]
)
def test_an_agreed_version_that_is_not_known_counts_as_the_first(said: bytes | None) -> None:
    assert consent.version(said) == 1


@pytest.mark.usefixtures("version_2")
@pytest.mark.parametrize(("said", "version"), [(b"1", 1), (b"2", 2), (b"3", 1), (b"02", 1), (b"2 ", 1), (b"002", 1)])
def test_a_version_that_is_known_counts_and_a_newer_one_counts_as_the_first(said: bytes, version: int) -> None:
    now = decide(ON + b"ANALYTICS_AGREED=" + said)

    assert now.version == version
    assert decide(ON + b"ANALYTICS_AGREED=" + said, {"DO_NOT_TRACK": "1"}).version == 0


@pytest.mark.usefixtures("version_2")
@pytest.mark.parametrize(
    ("agreed", "told", "newest"), [(b"1", b"1", 1), (b"1", b"2", 2), (b"2", b"1", 2), (b"1", b"9", 9), (b"1", b"", 1)]
)
def test_a_user_knows_the_version_agreed_to_and_the_one_in_the_notice(agreed: bytes, told: bytes, newest: int) -> None:
    assert decide(ON + b"ANALYTICS_AGREED=%b\nANALYTICS_TOLD=%b\n" % (agreed, told)).shown_version == newest


@pytest.mark.parametrize(
    ("said", "how_often"),
    [(b"at-once", AT_ONCE), (b"daily", DAILY), (b"", DAILY), (b"AT-ONCE", DAILY), (b"hourly", DAILY)],
)
def test_sending_at_once_was_agreed_to_only_in_that_word(said: bytes, how_often: str) -> None:
    assert decide(ON + b"ANALYTICS_AGREED_SEND=" + said).agreed_send == how_often
    assert decide(ON).agreed_send == DAILY


def test_where_events_go_is_part_of_the_agreement() -> None:
    agreed = decide(ON + b"ANALYTICS_AGREED_TO=https://eu.i.posthog.com phc_x\n").agreed_to

    assert agreed == "https://eu.i.posthog.com phc_x"
    assert decide(ON).agreed_to == ""


# -- .env can only say no ----------------------------------------------------------------------------------------------

HARMLESS = [
    *[b"DO_NOT_TRACK=" + value for value in (b"0", b"", b"false", b"False", b" 0 ")],
    *[b"ONRAMP_ANALYTICS_ENABLED=" + value for value in (b"1", b"true", b"YES", b"on", b" on\t")],
    b"export DO_NOT_TRACK=0",
    b"  export  ONRAMP_ANALYTICS_ENABLED = 1\r",
    b"# DO_NOT_TRACK=1",
    b" \t#ONRAMP_ANALYTICS_ENABLED=0",
    b"TOKEN=DO_NOT_TRAC",
    b"",
]
NO = [
    *[
        b"DO_NOT_TRACK" + rest
        for rest in (b"=1", b"", b":=0", b"?=0", b"+=0", b" 0", b"=0 # really", b"='0'", b"=$(X)")
    ],
    *[b"ONRAMP_ANALYTICS_ENABLED" + rest for rest in (b"=0", b"=", b"", b":=1", b"=2", b'="1"', b"=1 \\", b"=${ON}")],
    b"set DO_NOT_TRACK=0",
    b"export export DO_NOT_TRACK=0",
    b"MY_DO_NOT_TRACK=0",
    b"DO_NOT_TRACK_X=0",
    b"undefine DO_NOT_TRACK",
    b"X=$(eval DO_NOT_TRACK=1)",
    b"define ONRAMP_ANALYTICS_ENABLED",
    b"X=1 # DO_NOT_TRACK=0",
    b"DO_NOT_TRACK=ONRAMP_ANALYTICS_ENABLED",
    b"DO_NOT_TRACK=0\0",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_a_line_that_is_plainly_harmless_is_not_a_no(line: bytes) -> None:
    assert consent.refusal((b"A=1\n" + line + b"\nB=2\n", b"")) == ""


@pytest.mark.parametrize("line", NO)
def test_any_other_line_that_names_a_variable_of_ours_is_a_no(line: bytes) -> None:
    for contents in ((line,), (b"", b"A=1\n" + line + b"\nDO_NOT_TRACK=0\n")):
        assert "mentions" in consent.refusal(contents)


def test_a_file_that_cannot_be_read_is_a_no() -> None:
    assert consent.refusal(None) == "a .env file of the checkout cannot be read"
    assert consent.refusal(()) == ""


VARIABLES = {b"DO_NOT_TRACK": (b"", b"0", b"false"), b"ONRAMP_ANALYTICS_ENABLED": (b"1", b"true", b"yes", b"on")}
words = st.sampled_from(
    [
        *VARIABLES,
        b"export",
        b"=",
        b":=",
        b" ",
        b"\t",
        b"#",
        b"0",
        b"1",
        b"false",
        b"yes",
        b"'",
        b"\\",
        b"\r",
        b"\xff",
        b"\0",
    ]
)
env_lines = st.one_of(
    st.lists(words, max_size=6).map(b"".join), st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))
)


def says_no(line: bytes) -> bool:
    """The same rule, written differently: remove the allowed parts, and see what is left."""
    for name, harmless in VARIABLES.items():
        if name not in line or line.strip().startswith(b"#"):
            continue
        key, _, value = line.replace(b"\t", b" ").partition(b"=")
        plain = [word for word in key.split() if word]
        if b"=" not in line or plain[-1:] != [name] or plain[:-1] not in ([], [b"export"]):
            return True
        if value.strip().lower() not in harmless:
            return True
    return False


@given(lines=st.lists(env_lines, max_size=4))
@example(lines=[b"DO_NOT_TRACK=0", b"DO_NOT_TRACK=1"])
def test_each_line_that_names_a_variable_and_is_not_plainly_harmless_is_a_no(lines: list[bytes]) -> None:
    expected = any(says_no(line) for line in lines)

    assert bool(consent.refusal((b"\n".join(lines),))) is expected
    assert bool(consent.refusal((b"", b"\n".join(lines) + b"\n"))) is expected


@given(contents=st.lists(st.binary(), max_size=2).map(tuple))
def test_nothing_that_can_be_in_the_files_raises(contents: tuple[bytes, ...]) -> None:
    assert isinstance(consent.refusal(contents), str)
    assert isinstance(consent.names_in(contents, DESTINATION_VARIABLES), str)


def test_a_destination_is_named_by_any_line_that_is_not_a_comment() -> None:
    key, host, _ = DESTINATION_VARIABLES

    assert consent.names_in((b"", b"A=1\nexport ONRAMP_ANALYTICS_HOST?=x"), (key, host)) == host.decode()
    assert consent.names_in((b"#ONRAMP_ANALYTICS_HOST=x\n",), (key, host)) == ""
    assert consent.names_in((b"ONRAMP_ANALYTICS_ALLOW_HTTP=1\n",), (key, host)) == ""
    assert consent.names_in(None, (key, host)) == ""


ENV_FILES = [".env", "services-enabled/.env"]


@pytest.mark.parametrize("name", ENV_FILES)
def test_a_no_in_an_env_file_turns_analytics_off(here: Checkout, name: str) -> None:
    assert consent.ask(os.environb, here.root).on
    (here.path / name).write_text("DO_NOT_TRACK=1\n")

    now = consent.ask(os.environb, here.root)

    assert not now.on
    assert now.why == "a .env file of the checkout mentions DO_NOT_TRACK"


@pytest.mark.parametrize("name", ENV_FILES)
def test_a_yes_in_an_env_file_is_not_a_yes(checkout: Checkout, name: str) -> None:
    (checkout.path / name).write_text("ONRAMP_ANALYTICS_ENABLED=1\n")

    now = consent.ask({}, checkout.root)

    assert (now.on, now.asks) == (False, False)


@pytest.mark.parametrize("name", ENV_FILES)
@pytest.mark.parametrize(
    ("variable", "why"), [(b"1", "you have not opted in"), (b"0", "ONRAMP_ANALYTICS_ENABLED turns")]
)
def test_a_variable_that_an_env_file_may_have_set_counts_only_as_a_no(
    checkout: Checkout, name: str, variable: bytes, why: str
) -> None:
    (checkout.path / name).write_text("ONRAMP_ANALYTICS_ENABLED=1\n")

    now = consent.ask({consent.ENABLED_VARIABLE: variable}, checkout.root)

    assert (now.on, now.asks) == (False, False)
    assert now.why.startswith(why)


@pytest.mark.parametrize("name", ENV_FILES)
@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "too large"])
def test_an_env_file_that_cannot_be_read_is_off_and_hangs_no_command(here: Checkout, name: str, kind: str) -> None:
    put(here.path / name, kind)

    assert consent.env_files(here.root) is None
    assert not consent.ask(os.environb, here.root).on


@pytest.mark.parametrize("name", ENV_FILES)
def test_an_env_file_is_read_through_a_link_and_one_that_leads_nowhere_is_none(here: Checkout, name: str) -> None:
    put(here.path / name, "dangling link")
    assert consent.ask(os.environb, here.root).on

    (here.path / name).parent.joinpath("nowhere").write_text("DO_NOT_TRACK=1\n")

    assert not consent.ask(os.environb, here.root).on


def test_an_env_file_without_permission_is_a_no(ordinary_user: Path) -> None:
    put(ordinary_user / ".env", "0 mode")

    assert consent.env_files(bytes(ordinary_user)) is None


# -- one person, in one folder -----------------------------------------------------------------------------------------

folders = st.sampled_from(["/x", "/x/", "/", "/a b", "/é", "", " ", "relative", "~", "~root"])


@given(xdg=st.none() | folders, home=st.none() | folders)
def test_the_state_file_is_where_platformdirs_puts_it(xdg: str | None, home: str | None) -> None:
    given = {"XDG_STATE_HOME": xdg, "HOME": home}
    environ = {name: value for name, value in given.items() if value is not None}
    with pytest.MonkeyPatch.context() as patch:
        for name in given:
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        theirs = os.fsencode(platformdirs.user_state_path("onramp-analytics", appauthor=False))

    ours = consent.state_file(in_bytes(environ), BITS)
    assert ours is not None
    assert ours.replace(b"//", b"/") == os.path.join(theirs, BITS)


def test_a_user_without_a_home_has_no_state_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)

    assert consent.state_file({}, BITS) is None
    assert consent.leads_here(b"/", {}, BITS) is False


@pytest.mark.parametrize("bits", [b"", BITS[:-1], BITS + b"0", BITS.upper(), b"../" * 10 + b"ab", BITS[:-1] + b"\n"])
def test_no_path_is_made_of_what_are_not_32_hexadecimal_digits(bits: bytes) -> None:
    assert consent.state_file({b"HOME": b"/x"}, bits) is None


@pytest.fixture
def state(here: Checkout) -> Path:
    """The file in the state folder that names the checkout."""
    return Path(os.environ["HOME"], ".local/state/onramp-analytics", hashlib.md5(here.root).hexdigest())


def is_on(path: Path) -> bool:
    return consent.ask(os.environb, os.fsencode(path)).on


def test_consent_counts_in_its_folder_and_through_a_link_to_it(here: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(here.path)

    assert is_on(here.path)
    assert is_on(tmp_path / "link")


def test_a_copied_checkout_is_off_and_the_first_one_stays_on(here: Checkout, tmp_path: Path) -> None:
    shutil.copytree(here.path, tmp_path / "copy", symlinks=True)

    assert not is_on(tmp_path / "copy")
    assert is_on(here.path)


def test_a_moved_checkout_is_off_and_is_on_again_when_it_is_moved_back(here: Checkout, tmp_path: Path) -> None:
    here.path.rename(tmp_path / "elsewhere")
    assert not is_on(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").rename(here.path)

    assert is_on(here.path)


def test_without_the_state_file_a_restored_onramp_lock_is_off(here: Checkout, state: Path) -> None:
    state.unlink()

    assert not is_on(here.path)
    assert not consent.ask({**os.environb, b"ONRAMP_ANALYTICS_ENABLED": b"1"}, here.root).on


def test_a_checkout_of_0_1_0_is_off(here: Checkout) -> None:
    here.lock.write_bytes(ON)

    assert not is_on(here.path)


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "too large"])
def test_something_else_in_place_of_the_state_file_is_off_and_never_hangs(
    here: Checkout, state: Path, kind: str
) -> None:
    state.unlink()
    put(state, kind)

    assert not is_on(here.path)


@pytest.mark.parametrize("content", [b"", b"\n", b"/nowhere\n", b"/a\0b\n", b"\xff\n", b"x" * 5000])
def test_a_state_file_that_leads_elsewhere_is_off(here: Checkout, state: Path, content: bytes) -> None:
    state.write_bytes(content)

    assert not is_on(here.path)


def test_a_state_file_behind_a_link_is_off(here: Checkout, state: Path, tmp_path: Path) -> None:
    state.rename(tmp_path / "moved")
    state.symlink_to(tmp_path / "moved")

    assert not is_on(here.path)


def test_a_state_file_without_permission_is_off(ordinary_user: Path) -> None:
    (ordinary_user / "onramp").mkdir()
    opt_in(ordinary_user / "onramp", {"HOME": str(ordinary_user)}, {})
    environ = {b"HOME": bytes(ordinary_user)}
    root = bytes(ordinary_user / "onramp")
    assert consent.ask(environ, root).on

    (state,) = (ordinary_user / ".local/state/onramp-analytics").iterdir()
    state.chmod(0)

    assert not consent.ask(environ, root).on


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_state_file_is_off(here: Checkout, state: Path) -> None:
    os.chown(state, STRANGER, STRANGER)

    assert not is_on(here.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_onramp_lock_is_off_and_the_variable_alone_does_not_ask_to_replace_it(here: Checkout) -> None:
    """Another user's choice to turn analytics off stands: only a typed `enable` replaces the file."""
    os.chown(here.lock, STRANGER, STRANGER)
    for content in (here.lock.read_bytes(), OFF):
        here.lock.write_bytes(content)
        for environ in ({}, {b"ONRAMP_ANALYTICS_ENABLED": b"1"}):
            now = consent.ask({**os.environb, **environ}, here.root)
            assert (now.on, now.asks, now.id) == (False, False, "")
    assert "another user" in now.why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work in the checkout of another user")
def test_root_records_nothing_in_the_checkout_of_another_user(here: Checkout) -> None:
    os.chown(here.path, STRANGER, STRANGER)

    now = consent.ask(os.environb, here.root)

    assert consent.is_another_users(here.root)
    assert (now.on, now.asks) == (False, False)
    assert "root records nothing" in now.why


def test_an_ordinary_user_in_a_shared_checkout_is_asked_like_everybody(ordinary_user: Path) -> None:
    assert not consent.is_another_users(b"/")
    assert not consent.is_another_users(bytes(ordinary_user / "missing"))


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "dangling link", "too large"])
def test_something_else_in_place_of_onramp_lock_is_off_and_never_hangs(checkout: Checkout, kind: str) -> None:
    put(checkout.lock, kind)
    started = time.monotonic()

    assert not consent.ask({}, checkout.root).on
    assert time.monotonic() - started < 1


# -- off costs nothing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, ""])
def test_off_starts_no_process_and_opens_nothing_but_onramp_lock(checkout: Checkout, content: str | None) -> None:
    if content is not None:
        checkout.lock.write_text(content)
    code = (
        "import sys\n"
        "from onramp_analytics import tracker\n"
        "seen = []\n"
        "sys.addaudithook(lambda name, args: seen.append((name, *args)))\n"
        "tracker.main(sys.argv[1], ['service_disabled', 'service_name=plex'])\n"
        "print([s for s in seen if s[0] != 'object.__getattr__'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(checkout.path)], env=checkout.env, capture_output=True, text=True, check=True
    )

    assert done.stdout.count("(") == 1
    assert f"('open', b'{checkout.path}/onramp.lock'" in done.stdout


@pytest.mark.parametrize(
    "environ",
    [{"DO_NOT_TRACK": "1"}, {"ONRAMP_ANALYTICS_ENABLED": "0"}, {"HOME": "/nowhere"}, {"XDG_STATE_HOME": "/x"}],
)
def test_what_is_off_leaves_no_trace(opted_in: Checkout, environ: dict[str, str]) -> None:
    before, content = opted_in.files(), opted_in.lock.read_bytes()

    opted_in.track(env=environ)

    assert opted_in.files() == before == {"onramp.lock"}
    assert opted_in.lock.read_bytes() == content
