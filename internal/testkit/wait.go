package testkit

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen. It is long because machines are slow at times; nothing is
// measured with it. HOLDFAST_TEST_PATIENCE sets it: where a bug has been planted, waiting is in vain.
var Patience = patience(os.Getenv("HOLDFAST_TEST_PATIENCE"))

func patience(set string) time.Duration {
	if d, err := time.ParseDuration(set); err == nil {
		return d
	}
	return 2 * time.Minute
}

// A Failer is a test, or a script of a test, that can be ended.
type Failer interface {
	Fatalf(format string, args ...any)
}

// Eventually waits until something is so. It ends the test if that takes longer than Patience.
func Eventually(t Failer, what string, so func() bool) {
	if t, ok := t.(testing.TB); ok {
		t.Helper()
	}
	for deadline := time.Now().Add(Patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Within returns a context that ends after Patience, or with the test.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Goroutines counts them when the number has come to rest.
func Goroutines() int {
	n, same := runtime.NumGoroutine(), 0
	for tries := 0; tries < 500 && same < 10; tries++ {
		time.Sleep(2 * time.Millisecond)
		if m := runtime.NumGoroutine(); m != n {
			n, same = m, 0
		} else {
			same++
		}
	}
	return n
}
