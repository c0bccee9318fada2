#!/bin/sh
# Checks that the modules in a program are those of packages.lock: check.sh PROGRAM
set -eu
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")/../../.."
recorded=$(sed -n -e 's/^\([a-z-]*\):$/\1/p' -e 's/^  sha256: \(.*\)$/sha256:\1/p' packages.lock | paste -d ' ' - -)
# Windows ends lines with CR LF.
embedded=$("$program" --version -v | tr -d '\r' | sed 1d)
[ "$embedded" = "$recorded" ] || {
	printf '%s: the modules in it are not those of packages.lock. Found:\n%s\nExpected:\n%s\n' "$1" "$embedded" "$recorded" >&2
	exit 1
}
