package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// Bad input gets an error that names what is wrong: never a panic.

func TestBadConfigNamesTheField(t *testing.T) {
	for _, bad := range []struct {
		cfg  engine.Config
		says string
	}{
		{engine.Config{TTL: -time.Second}, "TTL is -1s"},
		{engine.Config{TTL: 999 * time.Microsecond}, "TTL is 999µs: it must be at least 1ms"},
		{engine.Config{TTL: 1500 * time.Microsecond}, "whole milliseconds"},
		{engine.Config{TTL: 2 * time.Minute}, "MaxTTL"},
		{engine.Config{MaxTTL: -1}, "MaxTTL"},
		{engine.Config{RenewEvery: -1}, "RenewEvery"},
		{engine.Config{TTL: time.Second, RenewEvery: time.Second}, "RenewEvery"},
		{engine.Config{DriftFactor: -0.1}, "DriftFactor"},
		{engine.Config{DriftFactor: 1}, "DriftFactor"},
		{engine.Config{Tries: -1}, "Tries"},
		{engine.Config{Owner: "a~b"}, "Owner"},
		{engine.Config{Owner: "a\nb"}, "Owner"},
		{engine.Config{InstanceTimeout: -1}, "Timeout"},
		{engine.Config{MaxWaiters: -1}, "MaxWaiters"},
		{engine.Config{Guard: 9}, "Guard"},
	} {
		_, err := engine.Open(within(t), []string{"127.0.0.1:1"}, bad.cfg)
		if err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%+v: %v, want it to say %q", bad.cfg, err, bad.says)
		}
	}
}

func TestBadResourceOrOptionNamesIt(t *testing.T) {
	e := open(t, redistest.StartN(t, 1), engine.Config{})
	for _, bad := range []struct {
		resource string
		opt      engine.Option
		says     string
	}{
		{"", engine.WithTries(1), "the resource is empty"},
		{strings.Repeat("n", 1025), engine.WithTries(1), "1025 bytes: at most 1024"},
		{"r", engine.WithTTL(0), "WithTTL is 0s"},
		{"r", engine.WithTTL(999 * time.Microsecond), "WithTTL is 999µs"},
		{"r", engine.WithTTL(-time.Second), "WithTTL is -1s"},
		{"r", engine.WithTTL(time.Hour), "MaxTTL"},
		{"r", engine.WithTries(-1), "WithTries is -1"},
		{"r", engine.WithToken(""), "the token has 0 bytes"},
		{"r", engine.WithToken(strings.Repeat("t", 1025)), "the token has 1025 bytes"},
		{"r", engine.WithMaxHold(0), "WithMaxHold is 0s"},
		{"r", engine.WithMaxHold(-1), "WithMaxHold"},
		{"r", engine.WithWait(0), "WithWait is 0s"},
	} {
		for name, use := range map[string]func() error{
			"acquire": func() error { _, err := e.Acquire(within(t), bad.resource, bad.opt); return err },
			"try":     func() error { _, err := e.TryAcquire(within(t), bad.resource, bad.opt); return err },
			"do": func() error {
				return e.Do(within(t), bad.resource, func(context.Context) error { return nil }, bad.opt)
			},
		} {
			if err := use(); err == nil || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s: %v, want it to say %q", name, err, bad.says)
			}
		}
	}
	release(t, acquire(t, e, "nothing is an option", nil))
	if _, err := e.Inspect(within(t), ""); err == nil {
		t.Error("inspecting nothing is no error")
	}
	if _, err := e.Adopt(within(t), "r", ""); err == nil {
		t.Error("adopting without a token is no error")
	}
}

func TestBadSetOfResourcesNamesWhatIsWrong(t *testing.T) {
	e := open(t, redistest.StartN(t, 1), engine.Config{})
	many := make([]string, 65)
	for k := range many {
		many[k] = strings.Repeat("n", k+1)
	}
	for _, bad := range []struct {
		resources []string
		opt       engine.Option
		says      string
	}{
		{nil, nil, "no resources: name at least one"},
		{[]string{}, nil, "no resources"},
		{many, nil, "65 resources: at most 64"},
		{[]string{"b", "a", "b"}, nil, `the resource "b" is there twice`},
		{[]string{"a", ""}, nil, "the resource is empty"},
		{[]string{"a", strings.Repeat("n", 1025)}, nil, "1025 bytes: at most 1024"},
		{[]string{"a", "fences:1"}, nil, `"fences:1"`},
		{[]string{"a", "b"}, engine.WithToken("mine"), "WithToken: a lease of several resources gets a fresh token"},
		{[]string{"a", "b"}, engine.WithTTL(0), "WithTTL is 0s"},
		{[]string{"a", "b"}, engine.WithTries(-1), "WithTries is -1"},
	} {
		for name, use := range map[string]func(context.Context, []string, ...engine.Option) (*lease.Lease, error){
			"AcquireAll": e.AcquireAll, "TryAcquireAll": e.TryAcquireAll,
		} {
			if _, err := use(within(t), bad.resources, bad.opt); err == nil || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s: %v, want it to say %q", name, err, bad.says)
			}
		}
	}
	release(t, acquireAll(t, e, many[:64], engine.WithFencing()))
	release(t, acquireAll(t, e, many[:1]))
}

func TestBadPermitsNameWhatIsWrong(t *testing.T) {
	e := open(t, redistest.StartN(t, 1), engine.Config{})
	for _, bad := range []struct {
		opts []engine.Option
		says string
	}{
		{[]engine.Option{engine.Permits(0)}, "Permits is 0: it must be from 1 to 128"},
		{[]engine.Option{engine.Permits(129)}, "Permits is 129"},
		{[]engine.Option{engine.Permits(3), engine.Weight(0)}, "Weight is 0: it must be from 1 to 64"},
		{[]engine.Option{engine.Permits(128), engine.Weight(65)}, "Weight is 65"},
		{[]engine.Option{engine.Permits(3), engine.Weight(4)}, "Weight is 4, of 3 permits"},
		{[]engine.Option{engine.Weight(1)}, "Weight without Permits"},
		{[]engine.Option{engine.Permits(3), engine.WithFencing()}, "Permits with WithFencing"},
		{[]engine.Option{engine.WithToken("mine"), engine.Permits(3)}, "Permits with WithToken"},
	} {
		for name, use := range map[string]func(context.Context, string, ...engine.Option) (*lease.Lease, error){
			"Acquire": e.Acquire, "TryAcquire": e.TryAcquire,
		} {
			if _, err := use(within(t), "r", bad.opts...); err == nil || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s: %v, want it to say %q", name, err, bad.says)
			}
		}
	}
	for name, use := range map[string]func() error{
		"AcquireAll":     func() error { _, err := e.AcquireAll(within(t), []string{"r", "s"}, engine.Permits(3)); return err },
		"TryAcquireEach": func() error { _, err := e.TryAcquireEach(within(t), []string{"r"}, engine.Permits(3)); return err },
		"Adopt":          func() error { _, err := e.Adopt(within(t), "r", "token", engine.Permits(3)); return err },
	} {
		if err := use(); err == nil || !strings.Contains(err.Error(), "Permits with "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{1, 128} {
		release(t, acquire(t, e, "r", engine.Permits(n)))
	}
	release(t, acquire(t, e, "r", engine.Permits(128), engine.Weight(64)))
}

func TestTheSameServerTwiceIsNoQuorum(t *testing.T) {
	s := redistest.StartN(t, 2)
	for name, urls := range map[string][]string{
		"same URL":           {s[0].URL(), s[0].URL(), s[1].URL()},
		"different database": {s[0].URL(), s[0].URL() + "?db=1", s[1].URL()},
	} {
		_, err := engine.Open(within(t), urls, engine.Config{})
		if err == nil || !strings.Contains(err.Error(), "same Redis process") {
			t.Errorf("%s: got %v, want it to say that they are the same Redis process", name, err)
		}
	}
	i, err := instance.Dial(s[0].URL(), instance.Config{})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	if _, err := engine.New([]*instance.Instance{i, i}, engine.Config{}); err == nil {
		t.Error("the same instance twice is accepted")
	}
	if _, err := engine.New([]*instance.Instance{nil}, engine.Config{}); err == nil {
		t.Error("a nil instance is accepted")
	}
	e, err := engine.New([]*instance.Instance{i}, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	if _, err := engine.New([]*instance.Instance{i}, engine.Config{}); err == nil {
		t.Error("one instance serves two engines")
	}
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
	if _, err := engine.New([]*instance.Instance{instance.New(nil, instance.Config{})}, engine.Config{}); err == nil {
		t.Error("no client is accepted")
	}
	if _, err := engine.New([]*instance.Instance{instance.New((*redis.Client)(nil), instance.Config{})}, engine.Config{}); err == nil {
		t.Error("a nil client is accepted")
	}
}
