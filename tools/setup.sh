#!/bin/sh
# Makes the project's virtual environment: a supported Python, uv, the pinned packages.
# Usage: tools/setup.sh [VENV]. Quick when VENV already matches the pins.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${1:-$root/.venv}
say() { printf '%s\n' "setup: $*" >&2; }
stop() { say "$@"; exit 1; }

digest=$(cat "$root/requirements.txt" "$root/requirements-dev.txt" "$root/tools/setup.sh" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.digest" 2>/dev/null || true)" = "$digest" ] && "$venv/bin/python" -c '' 2>/dev/null; then exit 0; fi
[ "$(uname -sm)" = "Linux x86_64" ] || stop "TensorFlow and TFDV need Linux on x86-64, this is $(uname -sm)"
[ ! -e "$venv" ] || [ -f "$venv/pyvenv.cfg" ] || stop "$venv is not a virtual environment: delete it, or set VENV"

# shellcheck source=tools/debian.sh
. "$root/tools/debian.sh"

# TFDV's current wheels need glibc 2.39; the last ones for older systems exist for Python 3.11 only (docs/adr/0002).
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
glibc=${glibc:-unknown}
if [ "$(printf '%s\n' "$glibc" 2.39 | sort -V | head -n1)" = 2.39 ]; then legacy=0; versions="3.13, 3.12 or 3.11"; else legacy=1; versions=3.11; fi

works() { "$1" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1])' "$versions" 2>/dev/null; }
find_python() {
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 /usr/bin/python3.11 python3; do
    if [ -n "$candidate" ] && works "$candidate"; then printf '%s' "$candidate"; return; fi
  done
  return 1
}
[ -z "${PYTHON:-}" ] || works "$PYTHON" || stop "PYTHON=$PYTHON does not do: glibc $glibc needs Python $versions"
if ! python=$(find_python); then
  say "no Python $versions found: installing the system's"
  debian python3 || true
  python=$(find_python) || stop "glibc $glibc needs Python $versions: install it, or set PYTHON=/path/to/python"
fi
say "$("$python" --version), glibc $glibc, into $venv"

# Debian splits venv and the headers from Python; pyfarmhash, which TFDV needs, has no wheel.
short=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
set --
"$python" -c 'import ensurepip' 2>/dev/null || set -- "$@" "python$short-venv"
[ -f "$header" ] || set -- "$@" "python$short-dev"
command -v g++ >/dev/null || set -- "$@" g++
if [ $# -gt 0 ]; then
  say "installing $*"
  debian "$@" || stop "could not install them; as root: apt-get install $*"
fi

rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
# uv does not read pip's settings: pass a mirror and its certificates on.
index=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
install() { "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" "$@"; }

if [ "$legacy" = 1 ]; then
  # 1.16.1 declares older TensorFlow and pyarrow, yet works beside the pinned ones.
  grep -vE '^(tensorflow-data-validation|tfx-bsl)==' "$root/requirements.txt" > "$venv/requirements.txt"
  install -r "$venv/requirements.txt" -r "$root/requirements-dev.txt" pyarrow-hotfix==0.7
  install --no-deps tensorflow-data-validation==1.16.1 tfx-bsl==1.16.1
else
  install -r "$root/requirements.txt" -r "$root/requirements-dev.txt"
fi
printf '%s' "$digest" > "$venv/.digest"
say "done"
