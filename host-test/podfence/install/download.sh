#!/bin/sh
# Downloads a released podfence into a directory, verifies it, and prints the path of the program:
#
#   download.sh DIRECTORY
#
# The release is that of this repository. What is there already from the same release is used again. The environment:
#
#   PODFENCE_VERSION    another release, such as 0.2.0
#   PODFENCE_SHA256     the digest that the archive must have, from SHA256SUMS of the release
#   PODFENCE_URL        a mirror: the directory that holds the archive, SHA256SUMS and SHA256SUMS.sigstore.json
#   PODFENCE_SIGNATURE  `required`: without PODFENCE_SHA256, cosign or gh must have verified the signature; what is kept
#                       from a download without that does not count
#
# Anything that fails leaves no program behind, and exits with 2: nothing was judged.
set -euf
# With it, `cd` prints where it went.
unset CDPATH

fail() {
	printf 'podfence: %s\n' "$1" >&2
	exit 2
}

fetch() {
	case $1 in
	https://*) protocol='=https' ;;
	http://127.0.0.1:*/* | http://localhost:*/*)
		# What looks like a host with a port may be a user with a password.
		port=${1#http://*:}
		port=${port%%/*}
		case $port in
		'' | *[!0-9]*) fail "$1: expected https://" ;;
		esac
		protocol='=http'
		;;
	*) fail "$1: expected https://" ;;
	esac
	if command -v curl >/dev/null; then
		curl --fail --silent --show-error --location --proto "$protocol" --retry 2 --max-time 300 --output "$2" "$1" >&2 ||
			fail "$1: cannot be downloaded"
	elif command -v wget >/dev/null; then
		wget -q -T 60 -O "$2" "$1" >&2 || fail "$1: cannot be downloaded"
	else
		fail "found neither curl nor wget; one of them is needed to download podfence"
	fi
}

digest() {
	if command -v sha256sum >/dev/null; then
		sum=$(sha256sum <"$1")
	elif command -v shasum >/dev/null; then
		sum=$(shasum -a 256 <"$1")
	else
		fail "found neither sha256sum nor shasum; one of them is needed to verify podfence"
	fi
	echo "${sum%% *}"
}

# Who signed SHA256SUMS is the workflow of this release, and nobody else.
verify_signature() {
	workflow=podfence/podfence/.github/workflows/release.yml
	if command -v cosign >/dev/null; then
		fetch "$url/SHA256SUMS.sigstore.json" "$new/SHA256SUMS.sigstore.json"
		cosign verify-blob --bundle "$new/SHA256SUMS.sigstore.json" \
			--certificate-identity "https://github.com/$workflow@refs/tags/v$version" \
			--certificate-oidc-issuer https://token.actions.githubusercontent.com "$new/SHA256SUMS" >&2 ||
			fail "$url/SHA256SUMS: the signature is not good"
	elif [ -n "${GH_TOKEN:-}" ] && command -v gh >/dev/null; then
		gh attestation verify "$new/$archive" --repo podfence/podfence --signer-workflow "$workflow" \
			--source-ref "refs/tags/v$version" >&2 || fail "$url/$archive: the attestation is not good"
	elif [ "${PODFENCE_SIGNATURE:-}" = required ]; then
		fail "the signature cannot be verified: install cosign, or gh with GH_TOKEN, or set the digest (PODFENCE_SHA256)"
	fi
}

is_program() {
	[ -f "$1" ] && [ -s "$1" ] && [ -x "$1" ]
}

if [ $# != 1 ] || [ -z "$1" ]; then
	fail "expected one argument: the directory"
fi
for tool in awk dirname head mkdir mktemp mv rm sed tar tr uname; do
	command -v "$tool" >/dev/null || fail "found no $tool; it is needed to download podfence"
done
root=$(cd "$(dirname "$0")/../../.." && pwd)
version=${PODFENCE_VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)}
version=${version#v}
case $version in
'' | *[!0-9A-Za-z.+-]*) fail "version '$version': expected one such as 0.2.0" ;;
esac
pinned=$(printf '%s' "${PODFENCE_SHA256:-}" | tr 'A-F' 'a-f')
case $pinned in
*[!0-9a-f]*) fail "PODFENCE_SHA256 '$pinned': expected 64 hexadecimal digits" ;;
esac
[ ${#pinned} = 0 ] || [ ${#pinned} = 64 ] || fail "PODFENCE_SHA256 '$pinned': expected 64 hexadecimal digits"

system=$(uname -s) machine=$(uname -m) program=podfence
case $system/$machine in
Linux/x86_64) target=x86_64-unknown-linux-musl ;;
Linux/aarch64 | Linux/arm64) target=aarch64-unknown-linux-musl ;;
Darwin/x86_64) target=x86_64-apple-darwin ;;
Darwin/arm64) target=aarch64-apple-darwin ;;
MINGW*/x86_64 | MSYS*/x86_64) target=x86_64-pc-windows-msvc program=podfence.exe ;;
*) fail "there is no release for $system on $machine; build it from source with make install" ;;
esac
archive=podfence-$version-$target.tar.gz
url=${PODFENCE_URL:-https://github.com/podfence/podfence/releases/download/v$version}
directory=$1/$version${pinned:+-$pinned}
if [ -z "$pinned" ] && [ "${PODFENCE_SIGNATURE:-}" = required ]; then
	directory=$directory-signed
fi

[ ! -d "$directory/$program" ] || fail "$directory/$program: expected a program, found a directory; remove it"
if ! is_program "$directory/$program"; then
	mkdir -p "$directory" || fail "$directory: cannot be made"
	new=$(mktemp -d "$directory/new.XXXXXX") || fail "$directory: cannot be written"
	trap 'rm -rf "$new"' EXIT
	fetch "$url/$archive" "$new/$archive"
	expected=$pinned
	if [ -z "$expected" ]; then
		fetch "$url/SHA256SUMS" "$new/SHA256SUMS"
		expected=$(awk -v archive="$archive" '$2 == archive { print $1 }' "$new/SHA256SUMS")
		[ -n "$expected" ] || fail "$url/SHA256SUMS: has no digest of $archive"
	fi
	found=$(digest "$new/$archive")
	[ "$found" = "$expected" ] || fail "$url/$archive: the digest is $found; expected $expected"
	[ -n "$pinned" ] || verify_signature
	# Not as a name: tar takes what is before a colon for another machine, also the drive of Windows.
	tar -xzf - -C "$new" --strip-components 1 <"$new/$archive" || fail "$url/$archive: cannot be unpacked"
	is_program "$new/$program" || fail "$url/$archive: has no $program"
	# Whole or not at all. Another process that was faster had the same one.
	mv "$new/$program" "$directory/$program" || fail "$directory: cannot be written"
fi
printf '%s\n' "$directory/$program"
