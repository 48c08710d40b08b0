#!/bin/sh
# Prints the tag of the images: a digest of everything that goes into them, so that an image of one name never
# changes and KFP's cache, which knows an image by its name, is never stale. Usage: tools/images/tag.sh [ROOT]
# From the environment: BASE (name it by digest where the name may move), GPU.
set -eu
cd "${1:-$(dirname -- "$0")/../..}"
{
  printf '%s\n' "${BASE:-}" "${GPU:-0}"
  # What .dockerignore lets in, and the Dockerfile.
  find Dockerfile .dockerignore requirements.txt tools/images/install.sh tools/images/*.in tools/images/*.txt components serving \
    -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
} | sha256sum | cut -c1-12
