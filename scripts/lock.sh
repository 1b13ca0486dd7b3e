#!/usr/bin/env bash
# Writes constraints.txt: the newest closure of gemel[dev] that pip resolves in an empty environment.
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3}" -m venv "$fresh"
"$fresh/bin/pip" install --quiet --disable-pip-version-check --editable '.[dev]'
{
    head -n 1 constraints.txt
    "$fresh/bin/pip" freeze --exclude-editable
} > "$fresh/constraints.txt"
mv "$fresh/constraints.txt" constraints.txt
