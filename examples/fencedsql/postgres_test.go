//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
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

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// On real servers, and in a real database, if there is one.
func TestPostgreSQLRefusesTheStaleWriter(t *testing.T) {
	dsn := os.Getenv("HOLDFAST_POSTGRES")
	if dsn == "" {
		dsn = startPostgres(t)
	}
	t.Setenv("HOLDFAST_POSTGRES", dsn)
	servers := redistest.StartN(t, 3)
	tells(t, program.Start(t, strings.Join(redistest.URLs(servers), ",")).Ends())
	for n, s := range servers {
		for _, key := range s.Keys() {
			if !strings.Contains(key, "fence:") {
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

// startPostgres starts a PostgreSQL server on a unix socket for the time of the test,
// and returns its DSN. It skips the test where there is none.
func startPostgres(t *testing.T) string {
	t.Helper()
	bin := postgresDir()
	if bin == "" {
		t.Skip("no PostgreSQL: set HOLDFAST_POSTGRES, or install its server (initdb and postgres)")
	}
	dir, err := os.MkdirTemp("", "holdfast-postgres-") // short: the path of a socket has its limits
	if err != nil {
		t.Fatal(err)
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
		t.Fatal(err)
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
		t.Fatal(err)
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
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
