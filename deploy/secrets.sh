#!/bin/sh
# Makes the secrets that compose.yaml names, in secrets/ beside it, or in the directory given. What is there stays as it is.
set -eu
cd "$(dirname "$0")"
dir=${1:-secrets}
mkdir -p "$dir"
chmod 700 "$dir" # the files are readable to the containers' users; on this machine only to who owns the directory

secret() { [ -f "$dir/$1" ] || { printf '%s' "$2" > "$dir/$1.new" && chmod 444 "$dir/$1.new" && mv "$dir/$1.new" "$dir/$1"; }; }
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

secret master-key "$(head -c 32 /dev/urandom | base64)" # keep a copy elsewhere: without it every name in the log is lost
secret checkpoint-key "$(head -c 32 /dev/urandom | base64)" # signs checkpoints of the log, see docs/audit.md
secret admin-password "$(random)"
secret postgres-password "$(random)"
secret kurrentdb-admin-password "$(random)"
secret kurrentdb-ops-password "$(random)"
secret database-url "postgres://annal:$(cat "$dir/postgres-password")@postgres:5432/annal?sslmode=disable"
secret eventstore-url "esdb://admin:$(cat "$dir/kurrentdb-admin-password")@kurrentdb1:2113,kurrentdb2:2113,kurrentdb3:2113?tls=true&tlsCaFile=/trust/ca.crt"
