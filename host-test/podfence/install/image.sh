#!/bin/sh
# Lays out the context of the container image, target/image, of the archives for Linux: image.sh VERSION
set -eu
version=$1
cd "$(dirname "$0")/../../.."
rm -rf target/image
mkdir -p target/image
cp LICENSE host-test/podfence/install/Containerfile target/image
for archive in target/dist/podfence-"$version"-*-linux-musl.tar.gz; do
	[ -f "$archive" ] || { echo "$archive: does not exist; make dist writes it" >&2; exit 2; }
	case $archive in
	*-x86_64-*) platform=amd64 ;;
	*-aarch64-*) platform=arm64 ;;
	*) echo "$archive: no platform of the image" >&2; exit 2 ;;
	esac
	mkdir "target/image/$platform"
	tar -xzf "$archive" -C "target/image/$platform" --strip-components 1 "$(basename "$archive" .tar.gz)/podfence"
done
echo "target/image:" target/image/*
