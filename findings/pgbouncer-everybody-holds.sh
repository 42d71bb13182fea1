#!/usr/bin/env bash
# Behind PgBouncer in transaction mode an advisory lock of the session is granted to everybody who shares the connection, and never freed.
#
# Expected: PgBouncer's table of features says that session-level advisory locks do not work in transaction mode. An error would be the harmless
# reading of that.
# What happens: pg_try_advisory_lock answers "true" to one client after the other: they are one session for PostgreSQL, where these locks count
# how often they were taken. After all clients have gone it is still locked, for those who come by another connection.
# Seen with: PgBouncer 1.18.0, PostgreSQL 15.20.
# Who cares: anybody who puts a pooler in front of an application that elects a leader by pg_try_advisory_lock: all are leaders. Under little load all share
# one connection, so that tests show it least where it is worst. Go's database/sql pool does the same without any pooler. Use
# pg_try_advisory_xact_lock and keep the transaction open.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

postgres
pooler=$(port)
cat >"$work/pgbouncer.ini" <<EOF
[databases]
* = host=127.0.0.1 port=$database user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pooler
unix_socket_dir =
auth_type = any
pool_mode = transaction
EOF
command -v pgbouncer >/dev/null || wrap "$(unpack pgbouncer pgbouncer)" pgbouncer usr/sbin/pgbouncer
chmod 644 "$work/pgbouncer.ini"
setpriv --reuid=nobody --clear-groups pgbouncer -q "$work/pgbouncer.ini" 2>"$work/pgbouncer.log" &
pids+=("$!")
disown
reachable "$pooler"

pgbouncer --version | head -1
psql --version
first=$(database=$pooler sql -c "SELECT pg_try_advisory_lock(42)")
second=$(database=$pooler sql -c "SELECT pg_try_advisory_lock(42)")
direct=$(sql -c "SELECT pg_try_advisory_lock(42)")
echo "two clients, one after the other, through the pooler: $first $second; both have gone; straight to the database: $direct"
[ "$first$second$direct" = ttf ] || fail "only one client got the lock, or it was freed"
