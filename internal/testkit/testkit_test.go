package testkit_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/testkit"
)

// failing is a test that is ended when it fails, and says why.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *failing) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

// whyOf returns how a test fails, or nothing.
func whyOf(test func(testing.TB)) string {
	f := new(failing)
	var over sync.WaitGroup
	over.Go(func() { test(f) })
	over.Wait()
	return f.why
}

func TestEventuallyWaitsUntilItIsSo(t *testing.T) {
	asked := 0
	testkit.Eventually(t, "it is asked three times", func() bool { asked++; return asked == 3 })
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
}

func TestEventuallyEndsTheTestAfterItsPatience(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		begun := time.Now()
		why := whyOf(func(t testing.TB) { testkit.Eventually(t, "the moon is blue", func() bool { return false }) })
		if !strings.Contains(why, "the moon is blue") {
			t.Errorf("it failed with %q, want what was waited for", why)
		}
		if took := time.Since(begun); took < testkit.Patience || took > testkit.Patience+time.Second {
			t.Errorf("it took %v, want %v", took, testkit.Patience)
		}
	})
}

func TestOneLineWantsAnErrorOfOneLine(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{nil, "no error"},
		{errors.New("one\ntwo"), "several lines"},
		{errors.New("one"), ""},
	} {
		why := whyOf(func(t testing.TB) { testkit.OneLine(t, c.err) })
		if (why == "") != (c.says == "") || !strings.Contains(why, c.says) {
			t.Errorf("of %v it says %q, want %q", c.err, why, c.says)
		}
	}
}
