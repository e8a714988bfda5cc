# sh make.d/analytics.sh COMMAND…: runs onramp-analytics, wherever it is. `enable` installs it where it is missing.

own=${XDG_DATA_HOME:-$HOME/.local/share}/onramp-analytics
package=${ONRAMP_ANALYTICS_PACKAGE:-onramp-analytics}

# Runs the program in place of this script, or returns where there is none.
run_if_there() {
    command -v onramp-analytics >/dev/null && exec onramp-analytics "$@"
    for program in "$own/bin/onramp-analytics" "$HOME/.local/bin/onramp-analytics"; do
        [ -x "$program" ] && exec "$program" "$@"
    done
    python=
    [ -r onramp.program ] && read -r python <onramp.program
    [ -x "$python" ] && exec "$python" -I -m onramp_analytics "$@"
}

fail() {
    echo "onramp-analytics: $1" >&2
    exit 1
}

agreed() {
    echo "The program onramp-analytics is not on this machine. It would be installed for you alone, with $1." >&2
    [ -t 0 ] && [ -t 2 ] || return 0
    printf 'Install it? [y/N] ' >&2
    read -r answer
    case $answer in [yY] | [yY][eE][sS]) ;; *) fail "nothing was installed, analytics stay off" ;; esac
}

install_with() {
    agreed "$1"
    shift
    "$@" >&2 || fail "it could not be installed, analytics stay off: see what is written above, then run this again"
}

into_own_environment() {
    "$python3" -m venv "$own" && "$own/bin/python" -m pip install --quiet --disable-pip-version-check "$package" ||
        { rm -rf "$own"; return 1; }
}

install_program() {
    if command -v uv >/dev/null; then
        install_with "uv tool" uv tool install --quiet "$package"
    elif command -v pipx >/dev/null; then
        install_with "pipx" pipx install "$package"
    else
        python3=$(command -v python3) && "$python3" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            fail "Python 3.10 or later, uv or pipx is needed: install one, then run this again"
        install_with "a virtual environment in $own" into_own_environment
    fi
}

run_if_there "$@"
case $1 in
notice) exit 0 ;;
enable) install_program ;;
*) fail "the program is not installed: make analytics-enable installs it" ;;
esac
run_if_there "$@"
fail "it was installed, but is not found: put its folder on the PATH, then run this again"
