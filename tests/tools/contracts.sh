#!/bin/sh
# Run the contract tests under another version of Textual, in a virtual environment that is removed afterwards. All other
# packages are those of requirements.lock, unless that Textual needs others.
# usage: contracts.sh PYTHON VERSION [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/../.."
python=$1
version=$2
shift 2

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
trap 'exit 130' INT TERM
"$python" -m venv "$made"
"$made/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
"$made/bin/python" -m pip install -qq --require-hashes --requirement requirements.lock
"$made/bin/python" -m pip install -qq "textual==$version"
"$made/bin/python" -m pytest -p no:cacheprovider tests/contracts tests/unit/test_private_names.py "$@"
