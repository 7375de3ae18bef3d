#!/bin/sh
# Make .venv with the project (editable) and its dev tools, as locked, once for this checkout, this interpreter, this
# pyproject.toml and this lock. The stamp is written last, so a half-made .venv is made anew.
# usage: venv.sh PYTHON
set -eu
cd "$(dirname "$0")/../.."
python=$1
stamp=.venv/made-from

say() { printf 'wacht: %s\n' "$*" >&2; }
made_from() { printf '%s\n%s\n' "$python" "$PWD"; cat pyproject.toml requirements.lock; }
ready() { [ -x .venv/bin/python ] && [ -f "$stamp" ] && made_from | cmp -s - "$stamp"; }

if ready; then exit 0; fi

if ! command -v "$python" >/dev/null; then
    say "there is no $python here; name a Python 3.11 or newer: make PYTHON=/path/to/python3"
    exit 1
fi
if ! version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))'); then
    say "Python 3.11 or newer is needed, $python is ${version:-broken}; name another: make PYTHON=python3.12"
    exit 1
fi

# Two makes at once in one checkout: the second waits and finds it done.
mkdir -p .stamps
exec 9>.stamps/venv.lock
if command -v flock >/dev/null; then flock 9; fi
if ready; then exit 0; fi

say "setting up .venv with Python $version (once)"
rm -rf .venv
if ! "$python" -m venv .venv; then
    say "$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"
    exit 1
fi
.venv/bin/python -m pip install -qq --upgrade 'pip>=25.1'
.venv/bin/python -m pip install -qq --require-hashes --requirement requirements.lock
.venv/bin/python -m pip install -qq --no-deps --editable .
made_from >"$stamp.new"
mv "$stamp.new" "$stamp"
