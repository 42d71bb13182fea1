package engine

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
)

// Values that a sum or a product carries over the edge, and some beside them.
var (
	extremeTimes = []time.Duration{
		math.MinInt64, math.MinInt64 + 1, -time.Hour, -1, 0, 1, time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond,
		10 * time.Millisecond, time.Second, time.Minute, instance.MaxTimeout, instance.MaxTimeout + 1, longestTTL, longestTTL + time.Millisecond,
		math.MaxInt64 / 2 / time.Millisecond * time.Millisecond, math.MaxInt64 / time.Millisecond * time.Millisecond, math.MaxInt64 - 1, math.MaxInt64,
	}
	extremeInts   = []int{math.MinInt, -1, 0, 1, 2, maxHandoff, maxHandoff + 1, 1 << 20, math.MaxInt / 2, math.MaxInt}
	extremeFloats = []float64{
		math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 0.01, 0.5, math.Nextafter(1, 0), 1,
		math.MaxFloat64, math.Inf(1), math.NaN(),
	}
)

// timeless are the fields of Config that nothing is computed with.
var timeless = []string{"Backoff", "KeyPrefix", "Owner", "Logger", "Trace"}

// extremes are the values of one field of Config, or nil if it is timeless.
func extremes(t *testing.T, f reflect.StructField) []any {
	var values []any
	switch {
	case slices.Contains(timeless, f.Name):
	case f.Type == reflect.TypeFor[time.Duration]():
		for _, v := range extremeTimes {
			values = append(values, v)
		}
	case f.Type.Kind() == reflect.Int:
		for _, v := range extremeInts {
			values = append(values, v)
		}
	case f.Type.Kind() == reflect.Float64:
		for _, v := range extremeFloats {
			values = append(values, v)
		}
	case f.Type == reflect.TypeFor[instance.Guard]():
		values = []any{instance.GuardAdaptive, instance.GuardStrict, instance.GuardOff, instance.GuardOff + 1, instance.Guard(math.MaxUint8)}
	default:
		t.Fatalf("Config.%s is new: say here which values of it are extreme, or that nothing is computed with it", f.Name)
	}
	return values
}

// A Config that is extreme in one field is refused with the field's name, or works.
func TestEachExtremeFieldIsRefusedByNameOrHarmless(t *testing.T) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		for _, v := range extremes(t, f) {
			var cfg Config
			reflect.ValueOf(&cfg).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(v))
			e, err := New(instances(t, 3), cfg)
			if err != nil {
				if !strings.Contains(err.Error(), f.Name) {
					t.Errorf("%s %v is refused without its name: %v", f.Name, v, err)
				}
				continue
			}
			if err := harmless(e.cfg); err != nil {
				t.Errorf("%s %v: %v", f.Name, v, err)
			}
			if err := e.Close(t.Context()); err != nil {
				t.Errorf("e.Close: %v", err)
			}
		}
	}
}

// So is one that is extreme in many.
func TestExtremeFieldsTogetherAreRefusedOrHarmless(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[Config]())
	accepted := 0
	rapid.Check(t, func(r *rapid.T) {
		var cfg Config
		for _, f := range fields {
			values := extremes(t, f)
			if len(values) > 0 && rapid.IntRange(0, 3).Draw(r, f.Name+" is extreme if 0") == 0 { // or next to none is accepted
				v := rapid.SampledFrom(values).Draw(r, f.Name)
				reflect.ValueOf(&cfg).Elem().FieldByIndex(f.Index).Set(reflect.ValueOf(v))
			}
		}
		cfg, err := cfg.withDefaults()
		if err != nil {
			return
		}
		accepted++
		if err := harmless(cfg); err != nil {
			r.Errorf("%+v: %v", cfg, err)
		}
	})
	if accepted == 0 && !testing.Short() { // with -short only a fifth is drawn, of which all may be refused
		t.Error("no Config was accepted: nothing has been checked, want one at least")
	}
}

// harmless reports what is wrong with the times that follow from an accepted Config.
func harmless(c Config) error {
	now := clock.Now()
	for _, ttl := range []time.Duration{time.Millisecond, c.TTL, c.MaxTTL / time.Millisecond * time.Millisecond} {
		validity := c.validity(ttl)
		every := (&Engine{cfg: c}).renewEvery(ttl)
		switch {
		case validity > ttl:
			return fmt.Errorf("a lease of %v is valid for %v", ttl, validity)
		case validity > 0 && now.Add(validity).Until(now) != validity:
			return fmt.Errorf("the deadline of a lease of %v is %v away", ttl, now.Add(validity).Until(now))
		case every <= 0 || every > max(ttl, time.Millisecond):
			return fmt.Errorf("a lease of %v is renewed every %v", ttl, every)
		}
	}
	for _, attempt := range []time.Duration{time.Millisecond, c.InstanceTimeout, instance.MaxTimeout} {
		q := c.quarantine(attempt)
		if q < c.MaxTTL || q-c.MaxTTL < attempt || now.Time.Add(q).Sub(now.Time) != q {
			return fmt.Errorf("the quarantine is %v, with MaxTTL %v and timeout %v", q, c.MaxTTL, attempt)
		}
	}
	if _, ok := addable(now.Time, c.InstanceTimeout); !ok {
		return fmt.Errorf("an answer is waited for until %v", now.Time.Add(c.InstanceTimeout))
	}
	f := (&request{fencing: true, key: "r", maxTTL: c.MaxTTL, reserve: uint64(c.LocalHandoff)}).propose("", now.Time)
	if f.MaxAhead < 0 || f.Fence == 0 || f.Fence+f.Reserved > instance.MaxFence || uint64(now.UnixMicro()+f.MaxAhead.Microseconds()) > instance.MaxFence {
		return fmt.Errorf("a fence is proposed as %+v", f)
	}
	return nil
}

// addable reports whether the time later by d is.
func addable(t time.Time, d time.Duration) (time.Time, bool) {
	later := t.Add(d)
	return later, later.After(t)
}

// extremeOptions are all options that there are, each with its extreme values.
func extremeOptions() map[string][]Option {
	all := map[string][]Option{"WithoutRenewal": {WithoutRenewal()}, "WithToken": {WithToken("")}, "WithFencing": {WithFencing()}, "WithWatch": {WithWatch()}}
	for _, d := range extremeTimes {
		all["WithTTL"] = append(all["WithTTL"], WithTTL(d))
		all["WithMaxHold"] = append(all["WithMaxHold"], WithMaxHold(d))
		all["WithWait"] = append(all["WithWait"], WithWait(d))
	}
	for _, n := range extremeInts {
		all["WithTries"] = append(all["WithTries"], WithTries(n))
	}
	return all
}

// optionNames are the exported funcs of the package that return an Option.
func optionNames(t *testing.T) (names []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "option.go", nil, 0)
	if err != nil {
		t.Fatalf("parser.ParseFile: %v", err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Type.Results == nil || !f.Name.IsExported() {
			continue
		}
		if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "Option" {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// An option that takes part in no simulation and no chaos is one that nobody has thought of:
// docs/checks.md has a row for each, which says where it does.
func TestEveryOptionHasItsRowInTheTableOfChecks(t *testing.T) {
	text, err := os.ReadFile("../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n## Which option takes part where\n")
	table, _, ends := strings.Cut(table, "\n## ")
	if !found || !ends {
		t.Fatal("docs/checks.md has no such table")
	}
	names := optionNames(t)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if !strings.Contains(table, "`"+name+"`") && !strings.Contains(table, "`Config."+name+"`") {
			t.Errorf("%s is new: let it take part in internal/trial and internal/chaos, and give it a row", name)
		}
	}
}

func TestExtremeOptionsAreRefusedByNameOrHarmless(t *testing.T) {
	all := extremeOptions()
	for _, name := range optionNames(t) {
		if all[name] == nil {
			t.Errorf("%s is new: say here which values of it are extreme", name)
		}
	}
	cfg, err := Config{MaxTTL: longestTTL}.withDefaults()
	if err != nil {
		t.Fatalf("withDefaults: %v", err)
	}
	e, now := &Engine{cfg: cfg}, clock.Now()
	for name, opts := range all {
		for n, opt := range opts {
			r, err := e.request("acquire", "r", []Option{opt})
			switch {
			case err != nil && !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "validity") && name != "WithToken":
				t.Errorf("%s, value %d, is refused without its name: %v", name, n, err)
			case err != nil:
			case e.cfg.validity(r.ttl) <= 0 || now.Add(e.cfg.validity(r.ttl)).Until(now) <= 0:
				t.Errorf("%s, value %d: a lease that is valid for %v", name, n, e.cfg.validity(r.ttl))
			case r.maxHold != 0 && now.Add(r.maxHold).Until(now) != r.maxHold:
				t.Errorf("%s, value %d: a limit in %v", name, n, now.Add(r.maxHold).Until(now))
			case r.wait != 0 && waitsFor(r) < max(r.wait, 1):
				t.Errorf("%s, value %d: it waits for %v", name, n, waitsFor(r))
			}
		}
	}
}

// waitsFor is how long a request waits, or a little longer.
func waitsFor(r *request) time.Duration {
	now := time.Now()
	ctx, over := r.bound(context.Background())
	defer over()
	until, _ := ctx.Deadline()
	return until.Sub(now)
}

// Whatever a user's Backoff returns and a server says of the time left: a wait is
// neither longer than either, nor of no length.
func TestWaitsBetweenRoundsAreBoundedByBoth(t *testing.T) {
	for _, pause := range extremeTimes {
		for _, left := range extremeTimes {
			refused := &QuorumError{reason: ErrHeld, Votes: []instance.Vote{{Kind: instance.Held, Left: left}}}
			c := waitLoop{engine: &Engine{lines: newLines(1)}, waiter: new(waiter), refused: refused, pauses: backoff.NewConstantBackOff(pause)}
			got, err := c.pause(t.Context())
			switch {
			case pause < 0:
				if err == nil {
					t.Errorf("a wait of %v is waited for %v", pause, got)
				}
			case err != nil:
				t.Errorf("a wait of %v ends it: %v", pause, err)
			case left < 0 && got != pause, got > pause, left > time.Hour && pause > time.Hour && got < time.Hour:
				t.Errorf("a wait of %v, with %v left, is %v", pause, left, got)
			}
		}
	}
}

// A lock without an end in sight is waited for, and not asked about again and again.
func TestALockThatLivesForAgesIsNoExpiredOne(t *testing.T) {
	now := time.Now()
	for _, left := range []time.Duration{time.Hour, longestTTL, math.MaxInt64 - 1, math.MaxInt64} {
		if rest := untilExpiry(now.Add(left), now); rest < left {
			t.Errorf("with %v left it is gone in %v", left, rest)
		}
	}
}

// A Config whose quarantine overflowed would let an instance vote as soon as it has
// forgotten everything.
func TestNoMaxTTLSwitchesTheRestartGuardOff(t *testing.T) {
	for _, longest := range []time.Duration{math.MaxInt64, math.MaxInt64 / 2, longestTTL + time.Millisecond} {
		if e, err := New(instances(t, 3), Config{MaxTTL: longest}); err == nil {
			t.Errorf("MaxTTL %v is accepted: the quarantine is %v", longest, e.cfg.quarantine(time.Second))
			_ = e.Close(context.Background())
		}
	}
}
