package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lib/pq"
	_ "github.com/mattn/go-sqlite3" // "sqlite3"
)

// Every account remembers the highest fencing token that it has seen. One statement
// compares and writes, so that nothing comes between; it is the same in SQLite and in
// PostgreSQL, and safe at any isolation level. Above READ COMMITTED, its default,
// PostgreSQL may refuse a claim because of another one (serialization failure, 40001):
// try that transaction again.
const (
	createTable = `CREATE TABLE IF NOT EXISTS holdfast_accounts (id TEXT PRIMARY KEY, balance BIGINT NOT NULL, fence BIGINT NOT NULL)`
	openAccount = `INSERT INTO holdfast_accounts (id, balance, fence) VALUES ($1, $2, 0)`
	dropAccount = `DELETE FROM holdfast_accounts WHERE id = $1`

	claim = `UPDATE holdfast_accounts SET fence = $1 WHERE id = $2 AND fence <= $1`
	read  = `SELECT balance FROM holdfast_accounts WHERE id = $1`
	write = `UPDATE holdfast_accounts SET balance = $1 WHERE id = $2 AND fence = $3`
)

// errStale: the account has seen a higher fencing token.
var errStale = errors.New("stale fencing token")

// ledger is accounts in a database.
type ledger struct {
	*sql.DB
	dir string // of SQLite's file; "" for PostgreSQL
}

// openLedger uses PostgreSQL, or a new SQLite database when the DSN is "".
func openLedger(ctx context.Context, dsn string) (*ledger, error) {
	l := new(ledger)
	if dsn == "" {
		var err error
		if l.dir, err = os.MkdirTemp("", "holdfast-fencedsql-"); err != nil {
			return nil, err
		}
		l.DB, err = sql.Open("sqlite3", "file:"+filepath.Join(l.dir, "ledger.db")+"?_busy_timeout=5000")
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(l.dir))
		}
	} else {
		c, err := pq.NewConnector(dsn)
		if err != nil { // which may quote the password
			return nil, errors.New("HOLDFAST_POSTGRES is not like postgres://user:password@host/database")
		}
		l.DB = sql.OpenDB(c)
	}
	if _, err := l.ExecContext(ctx, createTable); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *ledger) close() error {
	err := l.DB.Close()
	if l.dir != "" {
		err = errors.Join(err, os.RemoveAll(l.dir))
	}
	return err
}

func (l *ledger) open(ctx context.Context, account string, balance int64) error {
	_, err := l.ExecContext(ctx, openAccount, account, balance)
	return err
}

func (l *ledger) drop(ctx context.Context, account string) error {
	_, err := l.ExecContext(ctx, dropAccount, account)
	return err
}

// claim tells the account of a new holder: from now on it refuses all earlier ones.
func (l *ledger) claim(ctx context.Context, account string, fence uint64) error {
	return l.update(ctx, fence, claim, fence, account)
}

func (l *ledger) balance(ctx context.Context, account string) (balance int64, err error) {
	err = l.QueryRowContext(ctx, read, account).Scan(&balance)
	return balance, err
}

// write changes the balance, if nobody has claimed the account since.
func (l *ledger) write(ctx context.Context, account string, balance int64, fence uint64) error {
	return l.update(ctx, fence, write, balance, account, fence)
}

// update runs a statement that changes one row, or none when the token is stale.
func (l *ledger) update(ctx context.Context, fence uint64, statement string, args ...any) error {
	result, err := l.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	switch n, err := result.RowsAffected(); {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%w %d", errStale, fence)
	}
	return nil
}
