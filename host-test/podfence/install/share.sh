#!/bin/sh
# Writes completions and man pages where shells and man look for them: share.sh PROGRAM DIRECTORY
set -eu
program=$1 share=$2
"$program" man "$share/man/man1"
while read -r shell file; do
	mkdir -p "$share/$(dirname "$file")"
	"$program" completions "$shell" >"$share/$file"
done <<'FILES'
bash bash-completion/completions/podfence
fish fish/vendor_completions.d/podfence.fish
zsh zsh/site-functions/_podfence
FILES
