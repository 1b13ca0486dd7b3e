#!/usr/bin/env bash
# Writes constraints.txt: the newest closure of gemel[dev] that pip resolves in an empty environment.
# Resolve with the oldest Python that is to work, since packages drop old Pythons down to the patch release:
#   PYTHON=/usr/bin/python3.11 scripts/lock.sh
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3}" -m venv "$fresh"
"$fresh/bin/pip" install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
{
    echo "# The whole closure of gemel[dev], pinned by scripts/lock.sh with Python $("$fresh/bin/python" -V | cut -d' ' -f2)."
    "$fresh/bin/pip" freeze --exclude-editable
} > "$fresh/constraints.txt"
mv "$fresh/constraints.txt" constraints.txt
