package instance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// leastPrivilege is the rule that docs/operations.md publishes: what comes
// behind the password.
func leastPrivilege(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ACL SETUSER holdfast on >PASSWORD (.*)$`).FindAllStringSubmatch(operations(t), -1)
	if len(m) != 1 {
		t.Fatalf("docs/operations.md has %d ACL rules, want one", len(m))
	}
	return m[0][1]
}

// withNative adds what the page says of servers that have DELIFEQ or DELEX.
func withNative(t *testing.T, s *redistest.Server, rule string) string {
	t.Helper()
	for _, command := range []string{"delifeq", "delex"} {
		if text := operations(t); !strings.Contains(text, "`+"+command+"`") {
			t.Errorf("docs/operations.md does not have `+%s`", command)
		}
		if s.Knows(command) {
			return rule + " +" + command
		}
	}
	return rule
}

func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	return string(text)
}

// The whole engine works under the rule that docs/operations.md publishes, and
// the servers have nothing to object to.
func TestLeastPrivilegeIsEnough(t *testing.T) {
	rule := leastPrivilege(t)
	servers := redistest.StartN(t, 3)
	for _, s := range servers {
		s.User(enginetest.User, enginetest.Password, withNative(t, s, rule))
	}
	cfg := engine.Config{KeyPrefix: "locks:", TTL: 1200 * time.Millisecond, MaxTTL: 2 * time.Second}
	a, err := enginetest.OpenAsUser(t, servers, cfg)
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	b, err := enginetest.OpenAsUser(t, servers, cfg)
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
		for _, resource := range []string{"r", "{tag}r", "a}b"} {
			name := fmt.Sprintf("%q with %d options", resource, len(opts))
			l := acquire(t, a, resource, opts...)
			first := l.Deadline()
			servers[0].FlushAll() // to be healed; before anybody contends, whose fences would be in the way
			eventually(t, name+" is renewed and healed", func() bool {
				return l.Deadline().After(first) && servers[0].Get("locks:"+resource) == l.Token()
			})
			if _, err := b.TryAcquire(within(t), resource, opts...); !errors.Is(err, engine.ErrHeld) {
				t.Errorf("%s: contended: %v", name, err)
			}
			waited := make(chan *lease.Lease)
			go func() {
				next, err := b.Acquire(within(t), resource, opts...)
				if err != nil {
					t.Errorf("%s: waited for: %v", name, err)
				}
				waited <- next
			}()
			if s, err := b.Inspect(within(t), resource); err != nil || s.Token != l.Token() {
				t.Errorf("%s: inspected: %v %v", name, s, err)
			}
			if err := l.Extend(within(t), 1500*time.Millisecond); err != nil {
				t.Errorf("%s: extended: %v", name, err)
			}
			release(t, l)
			if next := <-waited; next != nil {
				release(t, next)
			}
		}
	}
	l := acquire(t, a, "adopted", engine.WithoutRenewal())
	adopted, err := b.Adopt(within(t), "adopted", enginetest.Detach(t, l))
	if err != nil {
		t.Fatalf("b.Adopt: %v", err)
	}
	release(t, adopted)
	if err := b.Do(within(t), "done", func(context.Context) error { return nil }); err != nil {
		t.Errorf("b.Do: %v", err)
	}

	servers[1].MustDo("CLIENT", "KILL", "TYPE", "normal") // and a new connection
	held := acquire(t, a, "held")
	for _, e := range []*engine.Engine{a, b} {
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
	}
	if !errors.Is(held.Err(), lease.ErrClosed) {
		t.Errorf("the lease ended with %v, want %v", held.Err(), lease.ErrClosed)
	}
	for n, s := range servers {
		if log := s.MustDo("ACL", "LOG").([]any); len(log) != 0 {
			t.Errorf("server %d has refused something: %v", n, log)
		}
	}
}

// Without any part of the published rule, what needs it says so: NOPERM and the
// command; or works all the same where the docs say that it does.
func TestEachPrivilegeIsNeeded(t *testing.T) {
	rule := leastPrivilege(t)
	server := redistest.StartN(t, 1)
	for _, part := range strings.Fields(rule) {
		privilege, isCommand := strings.CutPrefix(part, "+")
		if !isCommand {
			continue
		}
		t.Run(privilege, func(t *testing.T) {
			server[0].FlushAll()
			server[0].User(enginetest.User, enginetest.Password, strings.Replace(rule, part, "", 1))
			e, err := enginetest.OpenAsUser(t, server, engine.Config{KeyPrefix: "locks:", TTL: 2 * time.Second})
			if err == nil {
				err = everything(t, e, server[0])
			}
			switch privilege {
			case "client|id", "client|kill", "getrange", "bitfield", "exists", "info", "client|tracking", "hello",
				"zadd", "zrem", "zrange", "zrangebyscore", "zrevrangebyscore", "zscore", "zcount":
				if err != nil {
					t.Errorf("it does not work: %v", err)
				}
			default:
				if err == nil || !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), "'"+privilege+"'") {
					t.Errorf("the error does not say NOPERM and %q: %v", privilege, err)
				}
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	t.Run("keys", func(t *testing.T) {
		server[0].User(enginetest.User, enginetest.Password, rule)
		e, err := enginetest.OpenAsUser(t, server, engine.Config{})
		if err != nil {
			t.Fatalf("enginetest.OpenAsUser: %v", err)
		}
		_, err = e.TryAcquire(within(t), "elsewhere")
		oneLine(t, err)
		if !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), "may not use that name") {
			t.Errorf("acquire elsewhere: got %v, want NOPERM and that it is the name", err)
		}
	})
}

// everything uses every command, and returns all that went wrong.
func everything(t *testing.T, e *engine.Engine, s *redistest.Server) error {
	var errs []error
	s.Set("locks:contended", "another", time.Minute)
	_, err := e.TryAcquire(within(t), "contended")
	if !errors.Is(err, engine.ErrHeld) {
		errs = append(errs, err)
	}
	for _, name := range []string{"contended", "nobody's"} {
		if _, err := e.Inspect(within(t), name); err != nil {
			errs = append(errs, err)
		}
	}
	fenced := []engine.Option{engine.WithFencing()} // by a script at first, which shows the server's clock, and then natively
	for n, opts := range [][]engine.Option{fenced, nil, fenced} {
		l, err := e.TryAcquire(within(t), fmt.Sprintf("r%d", n), opts...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, l.Extend(within(t), 3*time.Second), l.Release(within(t)))
	}
	if err := errors.Join(errs...); err != nil {
		return err // and to wait for the lock would be in vain
	}
	go func() { s.Del("locks:contended") }()
	l, err := e.Acquire(within(t), "contended")
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, l.Release(within(t)))
	return errors.Join(errs...)
}

func TestWaitersAreServedWhereTrackingIsNotPermitted(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for _, s := range servers {
		rule := strings.Replace(leastPrivilege(t), "+client|tracking", "", 1)
		s.User(enginetest.User, enginetest.Password, withNative(t, s, rule))
	}
	var log testkit.Log
	cfg := engine.Config{KeyPrefix: "locks:", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	a, err := enginetest.OpenAsUser(t, servers, cfg)
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	b := open(t, servers, engine.Config{KeyPrefix: "locks:"})
	held := acquire(t, b, "r")
	got := make(chan *lease.Lease, 1)
	go func() { got <- acquire(t, a, "r") }()
	eventually(t, "it was not permitted to be told", func() bool {
		denied := 0
		for _, s := range servers {
			denied += len(s.MustDo("ACL", "LOG").([]any))
		}
		return denied > 0
	})
	release(t, held)
	release(t, <-got)
	if err := a.Close(within(t)); err != nil {
		t.Errorf("a.Close: %v", err)
	}
	if n := log.Count("the server does not tell of changes"); n < 1 || n > len(servers) {
		t.Errorf("the log says %d times that waiters poll: %s", n, &log)
	}
}
