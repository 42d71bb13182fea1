package main

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

var told = regexp.MustCompile(`^Ada holds the lock with fencing token (\d+), and reads 100
Ada is paused, .*
Bob holds the lock with fencing token (\d+), and reads 100
Bob writes 150
Ada wakes up, .*
Ada's write is refused: stale fencing token (\d+)
the balance is 150, as Bob wrote it
$`)

// tells fails the test unless the late writer was refused.
func tells(t *testing.T, stdout string) {
	t.Helper()
	if m := told.FindStringSubmatch(stdout); m == nil || m[1] >= m[2] || m[1] != m[3] { // 16 digits each
		t.Errorf("it said:\n%s", stdout)
	}
}

func TestSQLiteRefusesTheStaleWriter(t *testing.T) {
	t.Parallel()
	tells(t, program.Start(t, "").Ends())
}

// What the database does is tested without the story, too: tokens in any order.
func TestAnAccountRefusesWhatIsBelowItsToken(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, err := openLedger(ctx, "")
	if err != nil {
		t.Fatalf("openLedger: %v", err)
	}
	defer l.close()
	if err := l.open(ctx, "a", 1); err != nil {
		t.Fatalf("l.open: %v", err)
	}
	stale := func(err error) {
		t.Helper()
		if !errors.Is(err, errStale) {
			t.Errorf("a stale token is answered with %v", err)
		}
	}
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Errorf("write with a lock: %v", err)
		}
	}
	fine(l.claim(ctx, "a", 5))
	fine(l.write(ctx, "a", 2, 5))
	fine(l.claim(ctx, "a", 5)) // the same holder, once more
	fine(l.write(ctx, "a", 3, 5))
	stale(l.claim(ctx, "a", 4))
	stale(l.write(ctx, "a", 9, 4))
	stale(l.write(ctx, "a", 9, 6)) // by a writer that has not claimed it
	fine(l.claim(ctx, "a", 1<<53-1))
	stale(l.write(ctx, "a", 9, 5))
	if balance, err := l.balance(ctx, "a"); err != nil || balance != 3 {
		t.Errorf("the balance is %d, %v", balance, err)
	}
}

// The statements that the docs print are those that run here.
func TestTheDocsHaveTheStatements(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	plain := strings.ReplaceAll(string(text), "\n    ", " ")
	for _, statement := range []string{claim, write} {
		if !strings.Contains(plain, statement+";") {
			t.Errorf("docs/guarantees.md does not have %q", statement)
		}
	}
}
