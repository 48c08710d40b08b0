#!/bin/sh
# Installs the programs that tests start: Redis for the stores, Chromium for the portal.
# Tests that need one that cannot be had are skipped, and say so.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tools/debian.sh
. "$root/tools/debian.sh"
say() { printf '%s\n' "test programs: $*" >&2; }

set --
if ! command -v redis-server >/dev/null || ! command -v redis-check-rdb >/dev/null; then set -- "$@" redis-server; fi
if ! command -v chromium >/dev/null; then set -- "$@" chromium; fi
[ $# -gt 0 ] || exit 0
say "installing $*"
debian "$@" || say "could not install them, their tests are skipped; as root: apt-get install $*"
