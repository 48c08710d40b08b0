#!/bin/sh
# Builds images and prints their names and sizes. Usage: tools/images/build.sh [TARGET ...]: light, serving, data, train by default,
# and with GPU=1 serving-gpu.
# From the environment: REGISTRY, TAG (tag.sh's by default), BASE, GPU=1 (TensorFlow's CUDA libraries), PIP_INDEX_URL.
set -eu
cd "$(dirname -- "$0")/../.."
export BASE="${BASE:-python:3.13-slim-trixie}" GPU="${GPU:-0}"
registry=${REGISTRY:-waymark}
tag=${TAG:-$(tools/images/tag.sh)}
if [ $# = 0 ]; then
  set -- light serving data train
  [ "$GPU" != 1 ] || set -- "$@" serving-gpu
fi
targets=$*

set -- --build-arg BASE --build-arg GPU --build-arg VERSION="$tag" \
  --build-arg REVISION="$(git describe --always --abbrev=40 --dirty 2>/dev/null || echo unknown)"
[ -z "${PIP_INDEX_URL:-}" ] || set -- "$@" --build-arg PIP_INDEX_URL
# A machine without a registry has its index under a name that the host's network alone resolves.
case $BASE in waymark-base:*) set -- "$@" --network host ;; esac
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
for target in $targets; do
  docker build --target "$target" "$@" -t "$registry/$target:$tag" . >&2
  printf '%s %d MB\n' "$registry/$target:$tag" $(($(docker image inspect -f '{{.Size}}' "$registry/$target:$tag") / 1000000))
done
