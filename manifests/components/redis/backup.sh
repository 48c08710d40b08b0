#!/bin/sh
# Takes a snapshot of Redis, checks it and keeps the newest. REDISCLI_AUTH holds the password.
set -eu
folder=${1:?usage: backup.sh FOLDER [HOST] [PORT] [KEEP]}
host=${2:-waymark-redis}
port=${3:-6379}
keep=${4:-14}
name=$folder/waymark-$(date -u +%Y%m%dT%H%M%SZ).rdb
# What an earlier run that was killed left behind.
rm -f "$folder"/*.partial
redis-cli -h "$host" -p "$port" --rdb "$name.partial"
redis-check-rdb "$name.partial"
mv "$name.partial" "$name"
ls -1 "$folder"/waymark-*.rdb | sort -r | tail -n +"$((keep + 1))" | while read -r old; do rm -f "$old"; done
echo "kept $name"
