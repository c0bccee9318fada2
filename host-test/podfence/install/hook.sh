#!/bin/sh
# The hook of .pre-commit-hooks.yaml: the released podfence, downloaded once and kept in the user's cache.
set -euf
cache=${XDG_CACHE_HOME:-$HOME/.cache}/podfence
program=$("$(dirname "$0")/download.sh" "$cache") || exit 2
exec "$program" "$@"
