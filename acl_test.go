package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
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

func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// asUser opens an engine on servers that know the user holdfast.
func asUser(t *testing.T, servers []*redistest.Server, cfg engine.Config) (*engine.Engine, error) {
	t.Helper()
	var instances []*instance.Instance
	for _, s := range servers {
		i, err := instance.Dial(s.URL(), instance.Config{Username: "holdfast", Password: "acl-s3cr3t", Logger: cfg.Logger})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}
	e, err := engine.New(instances, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = e.Close(ctx)
	})
	for _, i := range instances {
		<-i.Ready()
	}
	var errs []error
	for _, h := range e.Instances() {
		errs = append(errs, h.Err)
	}
	return e, errors.Join(errs...)
}

// The whole engine works under the rule that docs/operations.md publishes, and
// the servers have nothing to object to.
func TestLeastPrivilegeIsEnough(t *testing.T) {
	rule := leastPrivilege(t)
	servers := redistest.StartN(t, 3)
	for _, s := range servers {
		s.User("holdfast", "acl-s3cr3t", rule)
	}
	cfg := engine.Config{KeyPrefix: "locks:", TTL: 1200 * time.Millisecond, MaxTTL: 2 * time.Second}
	a, err := asUser(t, servers, cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := asUser(t, servers, cfg)
	if err != nil {
		t.Fatal(err)
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
	adopted, err := b.Adopt(within(t), "adopted", detached(t, l))
	if err != nil {
		t.Fatal(err)
	}
	release(t, adopted)
	if err := b.Do(within(t), "done", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}

	servers[1].MustDo("CLIENT", "KILL", "TYPE", "normal") // and a new connection
	held := acquire(t, a, "held")
	for _, e := range []*engine.Engine{a, b} {
		if err := e.Close(within(t)); err != nil {
			t.Error(err)
		}
	}
	if !errors.Is(held.Err(), lease.ErrClosed) {
		t.Error(held.Err())
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
			server[0].User("holdfast", "acl-s3cr3t", strings.Replace(rule, part, "", 1))
			e, err := asUser(t, server, engine.Config{KeyPrefix: "locks:", TTL: 2 * time.Second})
			if err == nil {
				err = everything(t, e, server[0])
			}
			switch privilege {
			case "client|id", "client|kill", "info", "client|tracking", "hello":
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
		server[0].User("holdfast", "acl-s3cr3t", rule)
		e, err := asUser(t, server, engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.TryAcquire(within(t), "elsewhere")
		oneLine(t, err)
		if !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), "keys") {
			t.Error(err)
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
	if _, err := e.Inspect(within(t), "contended"); err != nil {
		errs = append(errs, err)
	}
	for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
		l, err := e.TryAcquire(within(t), fmt.Sprintf("r%d", len(opts)), opts...)
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
