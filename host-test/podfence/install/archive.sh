#!/bin/sh
# Packs a program with its completions and man pages, the same bytes each time: archive.sh PROGRAM NAME RUNNABLE
#
# RUNNABLE is a program for this machine, of the same version. target/dist gets NAME.tar.gz, and SHA256SUMS its digest.
set -eu
program=$1 name=$2 runnable=$3
root=$(cd "$(dirname "$0")/../../.." && pwd)
dist=$root/target/dist
staged=$dist/staged/$name
rm -rf "$staged"
mkdir -p "$staged"
case $name in
*-windows-*) install -m 755 "$program" "$staged/podfence.exe" ;;
*) install -m 755 "$program" "$staged/podfence" ;;
esac
install -m 644 "$root/LICENSE" "$staged/LICENSE"
"$root/host-test/podfence/install/share.sh" "$runnable" "$staged/share"
tar --create --directory "$dist/staged" --format ustar --sort name --mtime '1980-01-01 00:00Z' --owner 0 --group 0 \
	--numeric-owner --mode 'u=rwX,go=rX' "$name" | gzip --no-name --best >"$dist/$name.tar.gz"
cd "$dist"
sha256sum podfence-*.tar.gz >SHA256SUMS
grep -F " $name.tar.gz" SHA256SUMS
