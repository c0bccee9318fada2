#!/bin/sh
# The step of action.yml. All inputs come in the environment; none of them is evaluated.
#
#   PATHS   files, directories and globs, one a line
#   ARGS    further options of `podfence scan`, separated by blanks and line ends
#   FORMAT  what the log shows
#   SARIF   a file to write the findings into, or nothing
set -euf
program=$("$(dirname "$0")/download.sh" "${RUNNER_TEMP:?}/podfence") || exit 2

# Blanks and line ends separate, and nothing else means anything: `set -f` keeps globs from being expanded.
# shellcheck disable=SC2086
set -- $ARGS
[ -z "$SARIF" ] || set -- "$@" --output "sarif=$SARIF"
# What follows is a path, even with a `-` in front.
set -- "$@" --
while IFS= read -r path; do
	[ -z "$path" ] || set -- "$@" "$path"
done <<PATHS
$PATHS
PATHS
exec "$program" scan --format "$FORMAT" "$@"
