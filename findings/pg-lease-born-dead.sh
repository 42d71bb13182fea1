#!/usr/bin/env bash
# A lease in a table of PostgreSQL can be granted after it has expired.
#
# Expected: UPDATE … SET expires = now() + '2 s' WHERE expires < now() RETURNING … is one atomic statement; who gets a row back holds the lease for 2 s.
# What happens: now() is the time at which the transaction began, also for a single statement that is a transaction of its own (PostgreSQL's documentation
# says so, and it reads as harmless). Where the statement first waits for the row, because somebody else's transaction on it is slow to end, it goes on with
# the time from before the wait: it compares with the old time, and grants what ended long ago.
# Seen with: PostgreSQL 15.20.
# Who cares: lock tables, elections and job queues in SQL. Their holder believes in 2 s, while the next one who asks gets the row at once: two holders. Write
# clock_timestamp(), take the time of the answer from RETURNING, or put FOR UPDATE NOWAIT in front.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

postgres
psql --version
sql -c "CREATE TABLE leases (name text PRIMARY KEY, holder text, expires timestamptz)" \
	-c "INSERT INTO leases VALUES ('job', 'nobody', now() - interval '1 hour')"
claim() {
	echo "UPDATE leases SET holder = '$1', expires = now() + interval '2 s' WHERE name = 'job' AND expires < now()
		RETURNING holder || ' holds it for ' || extract(epoch FROM expires - clock_timestamp())::numeric(9, 1) || ' s more'"
}

# The first takes 5 s, and then does not commit.
sql -c BEGIN -c "UPDATE leases SET holder = 'first' WHERE name = 'job'" -c "SELECT pg_sleep(5)" -c ROLLBACK >/dev/null &
sleep 1
second=$(sql -c "$(claim second)")
third=$(sql -c "$(claim third)")
echo "the second, who waited for the first's row: $second"
echo "the third, who asked right after:           $third"
[[ $second == "second holds it for -"* && $third == "third holds it for "[12]* ]] || fail "the lease was alive when it was granted"
