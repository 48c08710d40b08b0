#!/bin/sh
# Makes the project's virtual environment: a supported Python, uv, the pinned packages.
# Usage: tools/setup.sh VENV. Quick when VENV already matches the pins.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${1:-$root/.venv}
say() { printf '%s\n' "setup: $*" >&2; }

digest=$(cat "$root/requirements.txt" "$root/requirements-dev.txt" "$root/tools/setup.sh" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.digest" 2>/dev/null || true)" = "$digest" ] && "$venv/bin/python" -c '' 2>/dev/null; then exit 0; fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@"; else return 1; fi; }
debian() { command -v apt-get >/dev/null && as_root apt-get update -q >&2 && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" >&2; }

# TFDV's current wheels need glibc 2.39; the last ones for older systems exist for Python 3.11 only.
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
old=$(printf '%s\n2.39\n' "${glibc:-0}" | sort -V | head -n1)
if [ "$old" != 2.39 ]; then versions="3.11"; legacy=1; else versions="3.13 3.12 3.11"; legacy=0; fi

works() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in [tuple(map(int, v.split("."))) for v in sys.argv[1:]])' $versions 2>/dev/null; }
find_python() {
  for candidate in "${PYTHON:-}" $(for v in $versions; do printf 'python%s /usr/bin/python%s ' "$v" "$v"; done) python3; do
    [ -n "$candidate" ] && works "$candidate" && { printf '%s' "$candidate"; return; }
  done
  return 1
}
if ! python=$(find_python); then
  say "no Python of ($versions) found; trying the system's packages"
  debian python3 python3-venv || true
  python=$(find_python) || { say "glibc ${glibc:-unknown} needs Python $versions: install one, or set PYTHON=/path/to/python"; exit 1; }
fi
say "$("$python" --version), glibc ${glibc:-unknown}, into $venv"

rm -rf "$venv"
# Debian ships venv without ensurepip unless python3-venv is installed.
"$python" -m venv "$venv" >/dev/null 2>&1 || {
  rm -rf "$venv"
  short=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  debian "python$short-venv" || { say "'$python -m venv' fails: install python$short-venv"; exit 1; }
  "$python" -m venv "$venv"
}
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
install() { "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" "$@"; }

# pyfarmhash, which TFDV needs, has no wheel.
header=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
if ! command -v g++ >/dev/null || [ ! -f "$header" ]; then
  debian g++ python3-dev || say "pyfarmhash needs a C++ compiler and Python's headers: install g++ and python3-dev"
fi

if [ "$legacy" = 1 ]; then
  # 1.16.1 declares older TensorFlow and pyarrow, yet works beside the pinned ones (docs/adr/0002).
  grep -vE '^(tensorflow-data-validation|tfx-bsl)==' "$root/requirements.txt" > "$venv/requirements.txt"
  install -r "$venv/requirements.txt" -r "$root/requirements-dev.txt" \
    pyarrow-hotfix==0.7
  install --no-deps tensorflow-data-validation==1.16.1 tfx-bsl==1.16.1
else
  install -r "$root/requirements.txt" -r "$root/requirements-dev.txt"
fi
printf '%s' "$digest" > "$venv/.digest"
say "done"
