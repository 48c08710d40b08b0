#!/bin/sh
# Makes sure that a Docker daemon answers: installs docker.io (Debian or Ubuntu, as root) where none is, and
# starts dockerd where none runs. Does nothing where one answers. Usage: tools/images/docker.sh
set -eu
say() { printf '%s\n' "docker: $*" >&2; }
stop() { say "$@"; exit 1; }
answers() { docker info >/dev/null 2>&1; }

! answers || exit 0
[ "$(id -u)" = 0 ] || stop "no Docker daemon answers: start one, or run this as root"
if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
  command -v apt-get >/dev/null || stop "install Docker first: this system has no apt-get"
  say "installing docker.io"
  apt-get update -qq >/dev/null
  set -- docker.io
  # From Debian 13 on, the command is a package of its own.
  ! apt-cache show docker-cli >/dev/null 2>&1 || set -- "$@" docker-cli
  DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "$@" >/dev/null 2>&1 \
    || stop "could not install it; as root: apt-get install $*"
fi
! answers || exit 0
if [ -d /run/systemd/system ]; then
  systemctl start docker
else
  mkdir -p /run/waymark
  # Without a limit, containers get a million file handles, and programs that close them all take minutes.
  echo '{"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 8192, "Hard": 8192}}}' > /run/waymark/dockerd.json
  say "starting dockerd, log in /run/waymark/dockerd.log; stop it with: kill \$(cat /run/docker.pid)"
  setsid nohup dockerd --config-file /run/waymark/dockerd.json </dev/null >/run/waymark/dockerd.log 2>&1 &
fi
for _ in $(seq 60); do
  ! answers || exit 0
  sleep 1
done
stop "dockerd does not answer after a minute: $(tail -n 3 /run/waymark/dockerd.log 2>/dev/null || true)"
