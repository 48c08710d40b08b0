#!/bin/sh
# Puts a snapshot, the newest if none is named, in place of Redis's data. Redis must be stopped.
# What it held before stays aside in FOLDER/before.
set -eu
backups=${1:?usage: restore.sh BACKUPS FOLDER [SNAPSHOT]}
folder=${2:?usage: restore.sh BACKUPS FOLDER [SNAPSHOT]}
snapshot=${3:-$(ls -1 "$backups"/waymark-*.rdb | sort | tail -n 1)}
unset REDISCLI_AUTH
redis-check-rdb "$snapshot"
new=$folder/restore
rm -rf "$new"
mkdir "$new"
cp "$snapshot" "$new/dump.rdb"
# With appendonly, Redis reads its append-only files alone: load the snapshot without, then let it write them.
redis-server --dir "$new" --appendonly no --save "" --port 0 --unixsocket "$new/socket" &
ask() { redis-cli -s "$new/socket" "$@"; }
until ask ping 2>/dev/null | grep -q PONG; do kill -0 $!; sleep 1; done
ask config set appendonly yes
until ask info persistence | tr -d '\r' | grep -cE '^aof_(enabled:1|rewrite_in_progress:0|rewrite_scheduled:0)$' | grep -q 3; do
  kill -0 $!
  sleep 1
done
ask info keyspace
ask shutdown nosave
wait $!
if [ -e "$folder/appendonlydir" ]; then
  rm -rf "$folder/before"
  mv "$folder/appendonlydir" "$folder/before"
fi
mv "$new/appendonlydir" "$folder/appendonlydir"
rm -rf "$new"
echo "restored $snapshot"
