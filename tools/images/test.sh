#!/bin/sh
# Builds images and tests them as containers: sizes, hardening, a step through KFP's docker runner, predictions.
# Where BASE cannot be pulled, a stand-in made here takes its place. Leaves no container behind.
# Usage: PYTHON=.venv/bin/python tools/images/test.sh [TARGET ...]: serving and light by default.
set -eu
cd "$(dirname -- "$0")/../.."
BASE=${BASE:-python:3.13-slim-trixie}
[ $# -gt 0 ] || set -- light serving
tools/images/docker.sh
if ! docker image inspect "$BASE" >/dev/null 2>&1 && ! timeout 300 docker pull --quiet "$BASE" >/dev/null 2>&1; then
  printf '%s\n' "images: $BASE is not to be had here, taking a stand-in" >&2
  BASE=$(tools/images/standin_base.sh)
fi
export BASE
WAYMARK_REGISTRY=${REGISTRY:-waymark}
WAYMARK_TAG=${TAG:-$(tools/images/tag.sh)}
export WAYMARK_REGISTRY WAYMARK_TAG
REGISTRY=$WAYMARK_REGISTRY TAG=$WAYMARK_TAG tools/images/build.sh "$@" >&2
WAYMARK_TEST_IMAGES="$*" exec "${PYTHON:-python3}" -m pytest tests/images/check_containers.py -v
