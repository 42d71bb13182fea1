//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// On real servers, and in a real database, if there is one.
func TestPostgreSQLRefusesTheStaleWriter(t *testing.T) {
	t.Setenv("HOLDFAST_POSTGRES", postgres(t))
	servers := redistest.StartN(t, 3)
	tells(t, program.Start(t, strings.Join(redistest.URLs(servers), ",")).Ends())
	for n, s := range servers {
		for _, key := range s.Keys() {
			if !strings.HasSuffix(key, "fences:1") {
				t.Errorf("it has left %q on server %d", key, n)
			}
		}
	}

	t.Setenv("HOLDFAST_POSTGRES", "postgres://ada:pa55w0rd@localhost:port/x")
	_, stderr, exit := program.Run(t, "")
	if exit != 1 || strings.Contains(stderr, "pa55w0rd") || !strings.Contains(stderr, "HOLDFAST_POSTGRES") {
		t.Errorf("a bad DSN: exit %d, and on standard error: %s", exit, stderr)
	}
}

// What docs/guarantees.md says of PostgreSQL's own locks: a transaction sees what was
// committed before it waited, or after, by its isolation level.
func TestPostgreSQLLocks(t *testing.T) {
	db := open(t, postgres(t))
	run := func(db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}, statement string, args ...any,
	) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	count := func(db interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}, query string,
	) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		return n
	}
	run(db, "CREATE TABLE IF NOT EXISTS holdfast_jobs (job TEXT NOT NULL)")
	t.Cleanup(func() { _, _ = db.ExecContext(context.WithoutCancel(t.Context()), "DROP TABLE holdfast_jobs") })

	const lockNumber = "4242"
	const begin = "BEGIN ISOLATION LEVEL "
	const inside, before = "pg_advisory_xact_lock", "pg_advisory_lock"
	for _, c := range []struct {
		level, lock string
		jobs        int // that were done, of two that each do theirs only if it was not done
	}{
		{"READ COMMITTED", inside, 1},
		{"REPEATABLE READ", inside, 2}, // which is why the docs warn of it
		{"REPEATABLE READ", before, 1},
	} {
		t.Run(c.level+", "+c.lock, func(t *testing.T) {
			run(db, "TRUNCATE holdfast_jobs")
			enter := func(conn *sql.Conn) {
				if c.lock == inside {
					run(conn, begin+c.level)
				}
				run(conn, "SELECT "+c.lock+"("+lockNumber+")")
				if c.lock == before {
					run(conn, begin+c.level)
				}
			}
			leave := func(conn *sql.Conn) {
				if count(conn, "SELECT count(*) FROM holdfast_jobs") == 0 {
					run(conn, "INSERT INTO holdfast_jobs VALUES ('nightly')")
				}
				run(conn, "COMMIT")
				if c.lock == before {
					run(conn, "SELECT pg_advisory_unlock("+lockNumber+")")
				}
			}
			one, two := connect(t, db), connect(t, db)
			enter(one)
			done := make(chan struct{})
			go func() { // ends when one leaves
				defer close(done)
				enter(two)
				leave(two)
			}()
			for count(db, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = "+lockNumber) == 0 {
				select {
				case <-done:
					t.Fatal("it does not wait")
				case <-time.After(5 * time.Millisecond):
				}
			}
			leave(one)
			<-done
			if n := count(db, "SELECT count(*) FROM holdfast_jobs"); n != c.jobs {
				t.Errorf("the job was done %d times, want %d", n, c.jobs)
			}
		})
	}
}

// The statements of the docs are safe at any isolation level. Above READ COMMITTED
// PostgreSQL may refuse even the higher token, which has to be tried again.
func TestPostgreSQLClaimsAtEveryIsolationLevel(t *testing.T) {
	dsn := postgres(t)
	l, err := openLedger(t.Context(), dsn)
	if err != nil {
		t.Fatalf("openLedger: %v", err)
	}
	defer l.close()
	for _, c := range []struct {
		level sql.IsolationLevel
		again bool // the higher token must be tried again
	}{{sql.LevelReadCommitted, false}, {sql.LevelRepeatableRead, true}, {sql.LevelSerializable, true}} {
		t.Run(c.level.String(), func(t *testing.T) {
			account := "levels-" + strconv.Itoa(int(c.level))
			if err := l.open(t.Context(), account, 1); err != nil {
				t.Fatalf("l.open: %v", err)
			}
			defer func() { _ = l.drop(context.WithoutCancel(t.Context()), account) }()
			begin := func() *sql.Tx { // and take its view of the world
				tx, err := l.BeginTx(t.Context(), &sql.TxOptions{Isolation: c.level})
				if err != nil {
					t.Fatalf("l.BeginTx: %v", err)
				}
				var balance int64
				if err := tx.QueryRowContext(t.Context(), read, account).Scan(&balance); err != nil {
					t.Fatalf("read the balance of %v: %v", account, err)
				}
				return tx
			}
			changes := func(tx *sql.Tx, statement string, args ...any) (int64, error) {
				defer func() { _ = tx.Commit() }()
				result, err := tx.ExecContext(t.Context(), statement, args...)
				if err != nil {
					return 0, err
				}
				return result.RowsAffected()
			}

			late, higher := begin(), begin()
			if err := l.claim(t.Context(), account, 5); err != nil {
				t.Fatalf("l.claim: %v", err)
			}
			if n, err := changes(late, claim, 4, account); n != 0 || err != nil && !isSerialization(err) {
				t.Errorf("a stale claim: %d rows, %v", n, err)
			}
			switch n, err := changes(higher, claim, 6, account); {
			case c.again && !isSerialization(err), !c.again && (n != 1 || err != nil):
				t.Errorf("a higher claim: %d rows, %v", n, err)
			case c.again:
				if n, err := changes(begin(), claim, 6, account); n != 1 || err != nil {
					t.Errorf("and again: %d rows, %v", n, err)
				}
			}
			late = begin()
			if err := l.claim(t.Context(), account, 7); err != nil {
				t.Fatalf("l.claim: %v", err)
			}
			if n, err := changes(late, write, 9, account, 6); n != 0 || err != nil && !isSerialization(err) {
				t.Errorf("a late write: %d rows, %v", n, err)
			}
			if balance, err := l.balance(t.Context(), account); balance != 1 || err != nil {
				t.Errorf("the balance is %d, %v", balance, err)
			}
		})
	}
}

// isSerialization reports whether PostgreSQL wants the transaction tried again.
func isSerialization(err error) bool {
	var refused *pq.Error
	return errors.As(err, &refused) && refused.Code == "40001"
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatalf("sql.Open: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// connect takes a session of its own.
func connect(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("db.Conn: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// postgres is the DSN of a real database: the user's, or one that is started for the test.
func postgres(t *testing.T) string {
	t.Helper()
	if dsn := os.Getenv("HOLDFAST_POSTGRES"); dsn != "" {
		return dsn
	}
	return startPostgres(t)
}

// startPostgres starts a PostgreSQL server on a unix socket for the time of the test,
// and returns its DSN. It skips the test where there is none.
func startPostgres(t *testing.T) string {
	t.Helper()
	bin := postgresDir()
	if bin == "" {
		t.Skip("no PostgreSQL: make observability installs Debian's package postgresql and runs this; or set HOLDFAST_POSTGRES")
	}
	dir, err := os.MkdirTemp("", "holdfast-postgres-") // short: the path of a socket has its limits
	if err != nil {
		t.Fatalf("os.MkdirTemp: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(t.Context(), filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "holdfast", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}

	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-F", "-c", "listen_addresses=", "-c", "shared_buffers=16MB")
	server.Dir, server.SysProcAttr = dir, as
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatalf("server.Start: %v", err)
	}
	gone := make(chan struct{})
	go func() { // ends with the server; the cleanup waits for it
		defer close(gone)
		_ = server.Wait()
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // a fast shutdown
		<-gone
	})
	dsn := fmt.Sprintf("host=%s user=holdfast dbname=postgres sslmode=disable", dir)
	awaitPostgres(t, dsn, gone, &log)
	return dsn
}

// awaitPostgres returns when the server answers.
func awaitPostgres(t *testing.T, dsn string, gone <-chan struct{}, log *bytes.Buffer) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatalf("sql.Open: %v", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for db.PingContext(ctx) != nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-gone:
			t.Fatalf("postgres ended:\n%s", log)
		case <-ctx.Done():
			t.Fatal("postgres does not answer")
		}
	}
}

// postgresDir is where initdb and postgres are, or "".
func postgresDir() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps it out of PATH
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// unprivileged is how to start PostgreSQL, which refuses to run as root: as the user
// postgres then, to whom the folder is given.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("PostgreSQL does not run as root, and there is no user postgres")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatalf("os.Chown: %v", err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
