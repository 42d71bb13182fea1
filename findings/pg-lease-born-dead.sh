#!/usr/bin/env bash
# A lease in a table of PostgreSQL can be granted after it has expired.
#
# Expected: UPDATE … SET expires = now() + '2 s' WHERE expires < now() RETURNING … is one atomic statement; who gets a row back holds the lease for 2 s.
# What happens: where the row is locked by a transaction that is slow to end, the statement computes the new row first and waits then. What it grants after
# the wait was counted from before it. now() is the time at which the transaction began, as documented; but clock_timestamp() does not help,
# either, when the other transaction is rolled back: the row computed before the wait is the one that is written.
# Seen with: PostgreSQL 15.20.
# Who cares: lock tables, elections and job queues in SQL. The holder believes in 2 s, while the next one who asks gets the row at once: two
# holders. Lock the row by a statement of its own (SELECT … FOR UPDATE), then UPDATE with clock_timestamp().
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

postgres
psql --version
sql -c "CREATE TABLE leases (name text PRIMARY KEY, holder text, expires timestamptz)" \
	-c "INSERT INTO leases VALUES ('job', 'nobody', now() - interval '1 hour')"
claim() {
	echo "UPDATE leases SET holder = '$1', expires = $2 + interval '2 s' WHERE name = 'job' AND expires < $2
		RETURNING 'granted for ' || extract(epoch FROM expires - clock_timestamp())::numeric(9, 1) || ' s'"
}

# late SQL… prints what somebody is told who runs it while another transaction has the row, for 4 s more, and does not commit.
late() {
	sql -c "UPDATE leases SET expires = now() - interval '1 hour'"
	sql -c BEGIN -c "UPDATE leases SET holder = 'first'" -c "SELECT pg_sleep(5)" -c ROLLBACK >/dev/null &
	sleep 1
	sql "$@"
	wait "$!"
}

start=$(late -c "$(claim second "now()")")
next=$(sql -c "$(claim third "now()")")
clock=$(late -c "$(claim second "clock_timestamp()")")
locked=$(late -c BEGIN -c "SELECT FROM leases WHERE name = 'job' FOR UPDATE" -c "$(claim second "clock_timestamp()")" -c COMMIT)
locked=${locked##*$'\n'}
printf '%s\n' "with now():                         $start" "and who asks next:                  $next" "with clock_timestamp():             $clock" \
	"with clock_timestamp(), FOR UPDATE: $locked"
[[ $start == *" -"* && $next != *" -"* && $clock == *" -"* ]] || fail "the lease was alive when it was granted"
[[ $locked != *" -"* ]] || fail "FOR UPDATE does not help"
