package instance

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// counted are the fields of Config that something is computed with; the other
// kinds that there are have nothing to overflow.
var (
	counted  = []string{"Timeout", "Mailbox", "Batch", "DB"}
	timeless = []reflect.Kind{reflect.String, reflect.Slice, reflect.Func, reflect.Pointer, reflect.Bool, reflect.Struct, reflect.Map}
)

func TestEachExtremeFieldIsRefusedByNameOrHarmless(t *testing.T) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		switch {
		case slices.Contains(timeless, f.Type.Kind()):
			continue
		case !slices.Contains(counted, f.Name):
			t.Fatalf("Config.%s is new: say here that it is counted, and below what must hold of it", f.Name)
		}
		for _, v := range []int64{math.MinInt64, -1, 0, 1, 2, int64(time.Millisecond), int64(time.Second), mostMessages, mostMessages + 1, int64(MaxTimeout), int64(MaxTimeout) + 1, math.MaxInt64 / 2, math.MaxInt64/2 + 1, math.MaxInt64} {
			cfg := Config{Addr: "localhost:1"}
			reflect.ValueOf(&cfg).Elem().FieldByIndex(f.Index).SetInt(v)
			i, err := Dial("", cfg)
			if err != nil {
				if !strings.Contains(err.Error(), f.Name) {
					t.Errorf("%s %d is refused without its name: %v", f.Name, v, err)
				}
				continue
			}
			_ = i.client.Close()
			i.tracker.Close()
			c, now := i.cfg, time.Now()
			switch {
			case c.Timeout <= 0 || c.Timeout > MaxTimeout || !now.Add(c.Timeout).After(now):
				t.Errorf("%s %d: the timeout is %v", f.Name, v, c.Timeout)
			case i.mailbox.room(&Acquire{}) <= 0 || i.mailbox.room(&Release{}) < i.mailbox.room(&Acquire{}):
				t.Errorf("%s %d: there is room for %d acquires and %d releases", f.Name, v, i.mailbox.room(&Acquire{}), i.mailbox.room(&Release{}))
			case c.Batch < 1 || c.DB < 0:
				t.Errorf("%s %d: got %+v, want a batch of 1 at least and no negative database", f.Name, v, c)
			}
		}
	}
}

// Timeouts in a URL are bounds of the one that there is, whatever number is written
// there: 18446744074 seconds, in nanoseconds, are 290 ms modulo 2⁶⁴.
func TestATimeoutInAURLIsWhatItSaysOrAnError(t *testing.T) {
	check := func(fail func(string, ...any), name string, seconds int64) {
		cfg, err := parse(fmt.Sprintf("redis://localhost?%s=%d", name, seconds))
		good := seconds >= 1 && seconds <= int64(MaxTimeout/time.Second)
		switch {
		case good && (err != nil || cfg.Timeout != time.Duration(seconds)*time.Second):
			fail("%s of %d s is %v, %v", name, seconds, cfg.Timeout, err)
		case !good && (err == nil || !strings.Contains(err.Error(), name)):
			fail("%s of %d s is %v, %v", name, seconds, cfg.Timeout, err)
		}
	}
	names := []string{"dial_timeout", "read_timeout", "write_timeout"}
	for _, name := range names {
		for _, seconds := range []int64{math.MinInt64, -1, 0, 1, 86400, 86401, 9223372036, 9223372037, 18446744074, math.MaxInt64} {
			check(t.Errorf, name, seconds)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		check(r.Errorf, rapid.SampledFrom(names).Draw(r, "name"), rapid.Int64().Draw(r, "seconds"))
	})
	for _, wrong := range []string{"idle_timeout=9223372037", "max_retry_backoff=-9223372037", "pool_timeout=9999999h"} {
		if _, err := parse("redis://localhost?" + wrong); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
}

// A server may say any number of milliseconds: none becomes a time of another sign.
func TestATimeLeftIsNeverOfAnotherSignThanTheServerSaid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ms := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 9223372036854, 9223372036855, 18446744073710, math.MaxInt64})).Draw(r, "ms")
		left := leftOf(&resp.Reply{Kind: resp.Number, N: ms})
		switch {
		case ms < 0 && left != -1, ms >= 0 && left < 0, ms >= 0 && ms <= math.MaxInt64/int64(time.Millisecond) && left.Milliseconds() != ms:
			r.Errorf("%d ms left are %v", ms, left)
		}
	})
}

func TestATimeIsAsLongAsThereIsOne(t *testing.T) {
	for n, want := range map[int64]time.Duration{
		0: 0, 1: time.Millisecond, 9223372036854: 9223372036854 * time.Millisecond, 9223372036855: math.MaxInt64, math.MaxInt64: math.MaxInt64,
		9000000000000000000: math.MaxInt64,
	} {
		if got := leftOf(&resp.Reply{Kind: resp.Number, N: n}); got != want {
			t.Errorf("PTTL %d: %v", n, got)
		}
	}
	for _, r := range []resp.Reply{{Kind: resp.Number, N: -1}, {Kind: resp.Number, N: math.MinInt64}, {Kind: resp.Text}} {
		if got := leftOf(&r); got >= 0 {
			t.Errorf("what is left of %+v: got %v, want less than nothing", r, got)
		}
	}
}
