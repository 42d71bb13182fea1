package instance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// A user who may not use COMMAND, as none of the published rule may, whose names become fewer while he holds locks, and who
// loses the native command: what he may still release is released, in the server's own way, and of the rest he is told what is
// missing, on each server.
func TestReleaseAsRightsChangeOnEachServer(t *testing.T) {
	t.Parallel()
	for _, program := range append([]string{redistest.Machine}, redistest.Others...) {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartEach(t, program)
			s, native := servers[0], 0
			rule := withNative(t, s, leastPrivilege(t)) + " -command"
			if strings.Contains(rule, "+delifeq") || strings.Contains(rule, "+delex") {
				native = 1
			}
			s.User(enginetest.User, enginetest.Password, rule)
			e, err := enginetest.OpenAsUser(t, servers, engine.Config{KeyPrefix: "locks:", TTL: time.Minute})
			if err != nil {
				t.Fatalf("enginetest.OpenAsUser: %v", err)
			}
			deletions := func() int { return s.Calls("delifeq") + s.Calls("delex") }
			other, order, last := acquire(t, e, "other"), acquire(t, e, "orders:1"), acquire(t, e, "orders:2")

			s.MustDo("ACL", "SETUSER", enginetest.User, "resetkeys", "~locks:orders:*")
			_, err = e.TryAcquire(within(t), "others")
			for what, err := range map[string]error{"acquire": err, "release": other.Release(within(t))} {
				if err == nil || !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(err.Error(), "key") {
					t.Errorf("%s of a name that is not permitted: got %v, want NOPERM and a word of keys", what, err)
				}
			}
			before := deletions()
			release(t, order)
			if got := deletions() - before; got != native {
				t.Errorf("a name that is permitted: %d native releases, want %d", got, native)
			}

			s.MustDo("ACL", "SETUSER", enginetest.User, "~locks:*") // what is owed is paid now
			eventually(t, "the other is released", func() bool { return s.Get("locks:other") == "" })
			before = deletions()
			for _, command := range deletionsOf {
				if s.Knows(command) {
					s.MustDo("ACL", "SETUSER", enginetest.User, "-"+command)
				}
			}
			release(t, last)
			for n := range 3 {
				release(t, acquire(t, e, fmt.Sprint("r", n)))
			}
			if got := deletions() - before; got != 0 {
				t.Errorf("not permitted: %d native releases", got)
			}
			if keys := s.Keys(); len(keys) != 0 {
				t.Errorf("it is left with %q", keys)
			}
		})
	}
}
