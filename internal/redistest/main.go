package redistest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// missing is said loudly: tests that did not run prove nothing.
const missing = "redistest: redis-server is not in PATH, or a program of " + setting + " is missing: " +
	"run `make redis` (or `apt-get install redis-server`, `brew install redis`)"

// Main is the TestMain of a package that starts servers:
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// It runs the tests and exits, with 1 if tests that passed left a goroutine behind, or any tests a redis-server.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a caller that exits by other means: it returns the exit code.
func Run(m *testing.M) int {
	if !havePrograms() {
		fmt.Fprintf(os.Stderr, "\n*** %s\n\n", missing)
	}
	return verify(m.Run())
}

// verify turns the exit code of the tests into that of the process.
func verify(code int) int {
	if pids := orphans(); len(pids) > 0 {
		fmt.Fprintln(os.Stderr, "redistest: redis-server left behind:", pids)
		return 1
	}
	if code != 0 {
		return code // a test that failed half way may well have left goroutines; they are not the news
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		return 1
	}
	return 0
}

// requireRedis fails the test where there is no redis-server. It does not skip:
// of a package whose tests are skipped, go test ./... says "ok".
func requireRedis(t testing.TB) {
	t.Helper()
	if !havePrograms() {
		t.Fatal(missing)
	}
}
