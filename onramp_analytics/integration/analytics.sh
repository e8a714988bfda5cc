# Usage: sh make.d/analytics.sh COMMAND…
# Run onramp-analytics. `enable`, `preview` and `upgrade` install it. `disable`, `status` and `events` work without it.

# The program to install. `onramp-analytics install` fills in these four lines.
package=''
wheel=''
sha256=''
version=''

own=${XDG_DATA_HOME:-$HOME/.local/share}/onramp-analytics
states=${XDG_STATE_HOME:-$HOME/.local/state}/onramp-analytics

say() { printf '%s\n' "$1" >&2; }

fail() {
    say "onramp-analytics: $1"
    exit 1
}

# Whether a path is a file or a folder of this user, and not a link. (-O follows links.)
is_ours() { [ ! -h "$1" ] && [ -O "$1" ] && { [ -f "$1" ] || [ -d "$1" ]; }; }

# Root touches nothing in a checkout that belongs to another user.
refuse_root() {
    { [ -O . ] || [ "$(id -u)" != 0 ]; } && return
    case $1 in from-make | notice) exit 0 ;; esac
    owner=$(stat -c %U .) user=$owner
    [ "$owner" != UNKNOWN ] || { owner="user $(stat -c %u .)" user="'#$(stat -c %u .)'"; }
    fail "this checkout belongs to $owner: run sudo -u $user make analytics-$1"
}

# --- The program, and its version ---

# Set `program` and `flags`, which start it, and `installed`, its version. A program that does not start is ignored.
find_program() {
    installed="" flags=""
    for program in "$(command -v onramp-analytics)" "$own/bin/onramp-analytics" "$HOME/.local/bin/onramp-analytics"; do
        starts && return
    done
    program="" flags='-I -m onramp_analytics'
    is_ours onramp.program && [ -f onramp.program ] && read -r program <onramp.program
    starts || program=
}

starts() {
    # shellcheck disable=SC2086
    installed=$("$program" $flags --version 2>/dev/null </dev/null) && installed=${installed##* }
}

# shellcheck disable=SC2086
run() { "$program" $flags --root "$PWD" "$@"; }

# Whether the program is older than the one that this checkout names.
is_older() {
    [ -n "$version" ] && awk -v have="$installed" -v want="$version" '
        function release(v) { sub(/[^0-9.].*/, "", v); return v }
        function older(a, b, x, y, i) {
            split(release(a), x, "."); split(release(b), y, ".")
            for (i = 1; i <= 5; i++) if (x[i] + 0 != y[i] + 0) return x[i] + 0 < y[i] + 0
            a = substr(a, length(release(a)) + 1); b = substr(b, length(release(b)) + 1)
            if (b == "") return a ~ /^(a|b|rc|dev)/
            return a == "" ? b ~ /^post/ : a < b
        }
        BEGIN { exit !older(have, want) }'
}

say_older() {
    say "onramp-analytics $installed is older than version $version, which this checkout requires: run make analytics-upgrade"
}

# --- Installation ---

# Install the program that this checkout names, if the user agrees. Returns 1 if not.
offer() {
    choose_source
    choose_tool
    say "$1"
    say "It can be installed from $from, for your user only, with $tool."
    if [ ! -t 0 ] || [ ! -t 2 ]; then
        say "To install it, run this again on a terminal."
        return 1
    fi
    printf 'Install it? [y/N] ' >&2
    read -r answer
    case $answer in [yY] | [yY][eE][sS]) ;; *) return 1 ;; esac
    say "Installing (this can take a minute) ..."
    output=$("$install" 2>&1) || explain
    if is_ours onramp.program; then rm -f onramp.program; fi # the next make command writes it
    find_program
    [ -n "$program" ] || fail "onramp-analytics was installed but cannot be found: add its folder to PATH, then run this again"
    if is_older; then fail "onramp-analytics was installed, but $program is still version $installed: remove it, then run this again"; fi
    say "onramp-analytics $installed is installed."
}

choose_source() {
    if [ -n "$wheel" ]; then
        what=./make.d/$wheel from="make.d/$wheel in this checkout (its libraries from the Python package index)"
        [ -f "$what" ] && [ ! -h "$what" ] || fail "make.d/$wheel is missing: run git checkout make.d, then run this again"
        sum=$(sha256sum <"$what") || fail "make.d/$wheel could not be checked: install sha256sum, then run this again"
        [ "${sum%% *}" = "$sha256" ] ||
            fail "make.d/$wheel does not match the checksum in make.d/analytics.sh: run git checkout make.d, then run this again"
    elif [ -n "$package" ]; then
        what=$package from="the Python package index ($package)"
    else
        fail "this checkout does not specify what to install: ask its maintainers to run onramp-analytics install"
    fi
}

choose_tool() {
    if command -v uv >/dev/null; then
        tool="uv tool" install=with_uv
    elif command -v pipx >/dev/null; then
        tool=pipx install=with_pipx
    elif command -v python3 >/dev/null && python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        tool="a virtual environment in $own" install=with_venv
    else
        fail "Python 3.10 or later, uv or pipx is needed: install one of them, then run this again"
    fi
}

# Without --force, pipx keeps an older version and exits with status 0.
with_uv() { uv tool install --force "$what"; }

with_pipx() { pipx install --force "$what"; }

with_venv() {
    "$own/bin/python" -c '' 2>/dev/null || python3 -m venv --clear "$own" &&
        "$own/bin/python" -m pip install --upgrade --disable-pip-version-check "$what" && return
    [ -x "$own/bin/onramp-analytics" ] || rm -rf "$own"
    return 1
}

explain() {
    say "$output"
    case $output in
    *ensurepip* | *"No module named venv"*)
        fail "Python cannot create a virtual environment: run sudo apt install python3-venv, then run this again" ;;
    *externally-managed-environment*)
        fail "pip is not allowed to install into the system's Python: run sudo apt install pipx, then run this again" ;;
    *"requires a different Python"* | *"Requires-Python"*)
        fail "the Python that $tool uses is older than 3.10: install a newer one, then run this again" ;;
    *) fail "installation failed: fix the error reported above, then run this again" ;;
    esac
}

# --- Commands that work without the program ---

# Print the last value of a key in onramp.lock; nothing if the file is a link or cannot be read.
setting() {
    [ -f onramp.lock ] && [ ! -h onramp.lock ] && sed -n "s/^$1=//p" onramp.lock 2>/dev/null | tail -n 1
}

status_without_program() {
    if [ "$(setting ANALYTICS_ENABLED)" = 1 ]; then
        echo "onramp.lock contains ANALYTICS_ENABLED=1, but onramp-analytics is not installed, so nothing is recorded or sent."
        echo "Run make analytics-enable to install it, or make analytics-disable to opt out."
    else
        echo "Analytics are off."
    fi
}

events_without_program() {
    { [ -f docs/analytics.md ] && cat docs/analytics.md 2>/dev/null; } || fail "docs/analytics.md is missing: run make analytics-upgrade to install onramp-analytics, which lists the events"
}

disable_without_program() {
    id=$(setting ANALYTICS_ID)
    bits=$(setting ANALYTICS_CHECKOUT)
    write_choice
    left=
    for name in onramp.program onramp.program.new onramp.spool onramp.spool.lock onramp.spool.d; do
        if is_ours "$name"; then rm -rf "$name" 2>/dev/null; fi
        if [ -e "$name" ] || [ -h "$name" ]; then left="$left $name"; fi
    done
    forget_states
    [ -z "$left" ] || fail "analytics are off, but these are not yours, are links, or could not be deleted:$left"
    echo "Analytics disabled. All queued events were deleted."
    case $id in
    '' | *[!0-9a-f-]*) ;;
    *) echo "If you want to ask for the deletion of sent events, keep your former identifier: $id" ;;
    esac
}

# Keep only ANALYTICS_ENABLED=0 and the lines of others in onramp.lock, which is replaced atomically.
write_choice() {
    [ -e onramp.lock ] || [ -h onramp.lock ] || [ -w . ] || return 0 # no consent is here, and this user can give none
    [ ! -h onramp.lock ] || fail "onramp.lock is a symbolic link: delete it, which also turns analytics off"
    [ ! -e onramp.lock ] || [ -f onramp.lock ] || fail "onramp.lock is not a file: delete it, which also turns analytics off"
    mode=644
    [ ! -e onramp.lock ] || mode=$(stat -c %a onramp.lock)
    rm -f onramp.lock.new
    (
        umask 077
        set -C # so that an existing file or a link is never written to
        content >onramp.lock.new && chmod "$mode" onramp.lock.new && mv -f onramp.lock.new onramp.lock
    ) 2>/dev/null || {
        rm -f onramp.lock.new
        fail "onramp.lock cannot be written: make this folder writable or free some disk space, then run this again; DO_NOT_TRACK=1 turns analytics off for you in any case"
    }
}

content() {
    echo ANALYTICS_ENABLED=0 || return
    [ -e onramp.lock ] || return 0
    LC_ALL=C sed -E '/^ANALYTICS_(ENABLED|ID|NOTICE_SHOWN|AGREED|AGREED_TO|AGREED_SEND|TOLD|CHECKOUT)=/d' onramp.lock
}

# Whether the program may have something to show. make asks after each command, so the program is not started in vain: not
# if a `.env` file turns analytics off, or contains the variable and nobody has decided; not in a copied checkout; and not
# if the notice was never shown and the variable does not ask for it.
has_news() {
    off='DO_NOT_TRACK[ 	]*[:?]?=[ 	]*[^ 	0fF]|ONRAMP_ANALYTICS_ENABLED[ 	]*[:?]?=[ 	]*([0nNfF]|[oO][fF])'
    choice=$(setting ANALYTICS_ENABLED)
    [ -n "$choice" ] || off="$off|ONRAMP_ANALYTICS_ENABLED[ 	]*[:?]?="
    for file in .env services-enabled/.env; do
        if [ -f "$file" ] && LC_ALL=C grep -Eqs "^[ 	]*(export[ 	]+)?($off)" "$file"; then return 1; fi
    done
    [ "$choice" = 1 ] || return 0
    state=$states/$(setting ANALYTICS_CHECKOUT)
    [ -f "$state" ] && [ "$(cat "$state")" -ef . ] || return 1
    [ "$(setting ANALYTICS_NOTICE_SHOWN)" = 1 ] || [ -n "${ONRAMP_ANALYTICS_ENABLED-}" ]
}

# Delete each state file that contains the path of this folder. Also delete the state file that onramp.lock names if its
# path no longer exists. If its path leads to another folder, this folder is a copy of that one, and the file stays.
forget_states() {
    case $states in /*) ;; *) return ;; esac
    [ ! -h "$states" ] || return 0
    for state in "$states"/*; do
        name=${state##*/}
        case $name in *[!0-9a-f]*) continue ;; esac
        [ ${#name} = 32 ] && [ -f "$state" ] && is_ours "$state" || continue
        folder=$(cat "$state" && echo .)
        folder=${folder%??}
        if [ "$folder" -ef . ] || { [ "$name" = "$bits" ] && [ ! -d "$folder" ]; }; then rm -f "$state"; fi
    done
}

# --- Commands ---

refuse_root "$1"
[ "$1" != notice ] || has_news || exit 0
find_program
case $1:$program in
from-make:?*) exec "$program" $flags "$@" ;;
from-make: | notice:) exit 0 ;;
disable: | status: | events:)
    "${1}_without_program"
    exit
    ;;
enable: | upgrade: | preview:)
    offer "onramp-analytics is not installed." ||
        fail "nothing was installed, so nothing is recorded"
    ;;
enable:* | upgrade:*)
    if is_older; then
        offer "onramp-analytics $installed is older than version $version, which this checkout requires." || say "Nothing was installed."
    fi
    ;;
*:) fail "not installed: run make analytics-upgrade to install it" ;;
esac

if [ "$1" = upgrade ]; then
    if is_older; then exit 1; fi
    echo "onramp-analytics $installed is up to date."
    exit
fi
run "$@"
status=$?
case $1:$status in status:* | doctor:* | *:2) if is_older; then say_older; fi ;; esac
exit "$status"
