#!/bin/sh
# Tests a static release as its users have it: test.sh ARCHIVE
set -eu
archive=$1
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=$(mktemp -d)
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server"' EXIT
fail() {
	echo "install-test: $1" >&2
	exit 1
}
# Runs a command that must exit with this code, and print this.
expect() {
	code=$1 text=$2
	shift 2
	status=0
	"$@" >"$work/printed" 2>&1 || status=$?
	if [ "$status" != "$code" ] || ! grep -qF -- "$text" "$work/printed"; then
		cat "$work/printed"
		fail "$*: exit code $status; expected $code and: $text"
	fi
}

mkdir -p "$work/image/work"
tar -xzf "$archive" -C "$work/image" --strip-components 1
cp "$root"/host-test/podfence/tests/scan/shop/*.yaml "$work/image/work"
chmod -R go+rX "$work"
found='2 errors, 8 warnings in 2'

# No interpreter, no library: it runs where nothing else is, as USER and WORKDIR of the Containerfile say.
if readelf --program-headers "$work/image/podfence" | grep -q INTERP; then
	fail "$archive: the program needs a dynamic linker"
fi
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$work/image/usr/bin"
	cp "$work/image/podfence" "$work/image/usr/bin"
	expect 1 "$found" chroot --userspec 65532:65532 "$work/image" /usr/bin/podfence scan /work
	echo 'ok: in an empty directory, as another user than root'
else
	expect 1 "$found" "$work/image/podfence" scan "$work/image/work"
	echo 'skipped: an empty directory, which needs root'
fi

# A repository that uses the hooks of this one, at the commit that is checked out.
if ! { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet pre-commit==4.7.0; }; then
	echo 'skipped: pre-commit, for it cannot be installed from PyPI'
	exit 0
fi
mkdir "$work/release"
cp "$archive" "$work/release"
(cd "$work/release" && sha256sum ./*.tar.gz | sed 's| \./| |' >SHA256SUMS && exec python3 -u -m http.server --bind 127.0.0.1 0 >"$work/port" 2>/dev/null) &
server=$!
while ! grep -q 'port [0-9]' "$work/port" 2>/dev/null; do sleep 0.1; done
PODFENCE_URL=http://127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/port")
HOME=$work/home PATH=$work/venv/bin:$work/image:$PATH
export PODFENCE_URL HOME PATH
unset XDG_CACHE_HOME
mkdir "$work/home" "$work/shop"
# The hooks as they are in the directory, committed or not.
git -C "$root" ls-files -z --cached --others --exclude-standard | (cd "$root" && xargs -0 cp --parents -t "$work/shop")
git config --global user.name test && git config --global user.email test@example.com
mv "$work/shop" "$work/podfence"
git -C "$work/podfence" init --quiet && git -C "$work/podfence" add --all && git -C "$work/podfence" commit --quiet --message hooks
mkdir "$work/shop" && cd "$work/shop" && git init --quiet
commit=$(git -C "$work/podfence" rev-parse HEAD)
for hook in podfence podfence-system; do
	cat >.pre-commit-config.yaml <<CONFIG
repos:
- repo: $work/podfence
  rev: $commit
  hooks: [{id: $hook}]
CONFIG
	echo 'image: {tag: latest}' >values.yaml
	git add --all
	expect 0 Passed pre-commit run
	cp "$work"/image/work/*.yaml .
	git add --all
	expect 1 "$found" pre-commit run
	git rm --quiet -r --cached . && rm -f ./*.yaml
	echo "ok: the hook $hook of pre-commit"
done
rm -rf "$HOME/.cache/podfence"
echo "$(printf '%064d' 0)  $(basename "$archive")" >"$work/release/SHA256SUMS"
sed -i 's/podfence-system/podfence/' .pre-commit-config.yaml
echo 'image: {tag: latest}' >values.yaml && git add --all
expect 1 'the digest is' pre-commit run
echo 'ok: the hook refuses an archive with another digest'
