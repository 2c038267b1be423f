# Sourced by the scripts beside it, which have set $self to their own resolved path.
# Finds the checkout and makes sure that its .venv is there and current. POSIX sh.

root=${self%/scripts/*}
venv=$root/.venv

say() { printf 'mcast: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# ready KIND: true when .venv is complete and was made here, from this pyproject.toml.
# KIND is `run` (what mcast needs) or `dev` (the tests' tools too). setup.py writes the stamps.
# $(cat) and not cmp: a minimal system may lack diffutils.
ready() {
    [ ! -e "$venv/.unfinished" ] && [ -x "$venv/bin/python" ] && [ -f "$venv/.ready-$1" ] &&
        [ "$(cat "$venv/.ready-$1")" = "$root
$(cat "$root/pyproject.toml")" ]
}

# prefer CONDITION: prints the first Python of the list that is new enough and meets the condition.
# Named versions come before python3: on a system with a brand-new default they have wheels.
prefer() {
    for candidate in ${PYTHON:+"$PYTHON"} $([ -n "${PYTHON:-}" ] || echo python3.13 python3.12 python3.11 python3); do
        if "$candidate" -c "import sys; assert sys.version_info >= (3, 11); $1" </dev/null >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

find_python() {
    prefer 'import ensurepip, venv' || prefer 'pass' || {
        found=$("${PYTHON:-python3}" -V 2>&1) || found="no ${PYTHON:-python3}"
        die "Python 3.11 or newer is needed, found $found: install one (Debian, Ubuntu:" \
            "apt install python3 python3-venv) or name it: PYTHON=/path/to/python3 $self"
    }
}

# ensure KIND: makes or refreshes .venv unless it is ready.
ensure() {
    ready "$1" && return
    python=$(find_python) || exit 1
    "$python" "$root/scripts/setup.py" "$1" </dev/null >&2 || exit 1
}
