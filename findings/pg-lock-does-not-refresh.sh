#!/usr/bin/env bash
# A REPEATABLE READ transaction that begins with an advisory lock reads, under the lock, what was there before it waited. With LOCK TABLE it does not.
#
# Expected: the snapshot of a transaction is taken by its first statement that is not a control statement, so take locks first (PostgreSQL's
# documentation). pg_advisory_xact_lock as the first statement looks like that.
# What happens: it is called by a SELECT, and every SELECT takes the snapshot before it calls anything. So the lock is granted after its holder before has
# committed, and the commit is invisible. LOCK TABLE, a statement of its own, waits first. READ COMMITTED has the same gap within one statement:
# SELECT pg_advisory_xact_lock(1), (SELECT …).
# Seen with: PostgreSQL 15.20.
# Who cares: anybody who guards a read-modify-write by an advisory lock in frameworks that set REPEATABLE READ: what was written before is overwritten where
# the row itself is not updated (an INSERT computed from a count, a file, another system). Take the lock in a transaction before.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

postgres
psql --version
sql -c "CREATE TABLE counter (n int)" -c "INSERT INTO counter VALUES (0)"

# after ISOLATION LOCK prints what somebody reads who waits for a lock whose holder sets the counter to 1.
after() {
	sql -c "UPDATE counter SET n = 0"
	sql -c BEGIN -c "$2" -c "UPDATE counter SET n = 1" -c "SELECT pg_sleep(2)" -c COMMIT >/dev/null &
	sleep 1
	sql -c "BEGIN ISOLATION LEVEL $1" -c "$2" -c "SELECT 'reads ' || n FROM counter" -c COMMIT | grep reads
	wait "$!"
}

advisory=$(after "REPEATABLE READ" "SELECT pg_advisory_xact_lock(1)")
table=$(after "REPEATABLE READ" "LOCK TABLE counter IN EXCLUSIVE MODE")
committed=$(after "READ COMMITTED" "SELECT pg_advisory_xact_lock(1)")
echo "the holder before wrote 1; under the lock the next one"
printf '%s\n' "  REPEATABLE READ, pg_advisory_xact_lock: $advisory" "  REPEATABLE READ, LOCK TABLE:            $table" \
	"  READ COMMITTED, pg_advisory_xact_lock:  $committed"
[ "$advisory/$table/$committed" = "reads 0/reads 1/reads 1" ] || fail "the lock refreshes the snapshot, or LOCK TABLE does not"
