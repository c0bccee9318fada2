#!/bin/sh
# The hook of .pre-commit-hooks.yaml: the released podfence, downloaded once and kept in the user's cache.
set -euf
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
case $cache in
# A program of the repository that is checked must not be taken for the downloaded one.
/* | [A-Za-z]:[/\\]*) ;;
*)
	printf "podfence: the cache '%s': expected an absolute path in XDG_CACHE_HOME or HOME\n" "$cache" >&2
	exit 2
	;;
esac
program=$("$(dirname "$0")/download.sh" "$cache/podfence") || exit 2
exec "$program" "$@"
