# shellcheck shell=sh
# Sourced by the scripts beside it: installs Debian's packages where this user may.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@" 2>/dev/null; else return 1; fi; }
debian() { command -v apt-get >/dev/null && as_root apt-get update -qq >/dev/null && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "$@" >/dev/null; }
