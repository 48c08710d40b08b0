#!/bin/sh
# Makes a base image where no registry can be reached: Debian 13 with Python 3.13, by debootstrap. Prints its name;
# quick when it is there already. It stands in for python:3.13-slim-trixie in tests, and trusts what this machine trusts.
# Usage: docker build --build-arg BASE="$(tools/images/standin_base.sh)" ... [MIRROR=http://deb.debian.org/debian]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mirror=${MIRROR:-http://deb.debian.org/debian}
authorities=/etc/ssl/certs/ca-certificates.crt
say() { printf '%s\n' "base: $*" >&2; }
stop() { say "$@"; exit 1; }

"$here/docker.sh" >&2
name=waymark-base:trixie-$({ cat "$0"; cat "$authorities" 2>/dev/null || true; } | sha256sum | cut -c1-8)
if docker image inspect "$name" >/dev/null 2>&1; then printf '%s\n' "$name"; exit 0; fi
[ "$(id -u)" = 0 ] || stop "debootstrap needs root"
if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || stop "install debootstrap first: this system has no apt-get"
  say "installing debootstrap"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends debootstrap >/dev/null 2>&1 \
    || stop "could not install it; as root: apt-get install debootstrap"
fi

work=$(mktemp -d /var/tmp/waymark-base.XXXXXX)
root=$work/root
# debootstrap leaves the root's /proc mounted when it is cut off: never delete through a mount.
tidy() {
  for at in proc sys dev; do ! mountpoint -q "$root/$at" 2>/dev/null || umount "$root/$at" || true; done
  rm -rf --one-file-system "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM
say "building $name from $mirror"
debootstrap --variant=minbase --include=python3-venv trixie "$root" "$mirror" >"$work/log" 2>&1 \
  || { tail -n 5 "$work/log" >&2; stop "debootstrap failed"; }
for at in proc sys; do ! mountpoint -q "$root/$at" || umount "$root/$at"; done
# What the official slim images leave out too, but for the licences.
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/lintian \
  "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/log/* "$root"/dev/*
mkdir -p "$root/etc/ssl/certs"
set --
if [ -f "$authorities" ]; then
  cp "$authorities" "$root$authorities"
  set -- --change "ENV PIP_CERT=$authorities SSL_CERT_FILE=$authorities"
fi
tar -C "$root" -c . | docker import --change 'CMD ["python3"]' "$@" - "$name" >/dev/null
printf '%s\n' "$name"
