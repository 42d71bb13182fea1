package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// An acquire that a quorum refuses for good does not wait: it says so, and why. What
// somebody can mend, and has mended, works when it is tried again.
func TestWhatAQuorumRefusesForGoodIsNotWaitedFor(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for _, s := range servers {
		s.User(enginetest.User, enginetest.Password, "~locks:* ~fence:* +@all")
	}
	e, err := enginetest.OpenAsUser(t, servers, engine.Config{KeyPrefix: "locks:"})
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	other, err := enginetest.OpenAsUser(t, servers, engine.Config{KeyPrefix: "others:"})
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	for name, c := range map[string]struct {
		e    *engine.Engine
		opts []engine.Option
		says string
		do   func(*redistest.Server)
		mend func(*redistest.Server)
	}{
		"a hash": {
			e, nil, "WRONGTYPE",
			func(s *redistest.Server) { s.MustDo("HSET", "locks:a hash", "field", "1") },
			func(s *redistest.Server) { s.MustDo("DEL", "locks:a hash") },
		},
		"a hash, fenced": {
			e,
			[]engine.Option{engine.WithFencing()},
			"WRONGTYPE",
			func(s *redistest.Server) { s.MustDo("HSET", "locks:a hash, fenced", "field", "1") },
			func(s *redistest.Server) { s.MustDo("DEL", "locks:a hash, fenced") },
		},
		"a fence that is no number": {
			e,
			[]engine.Option{engine.WithFencing()},
			"WRONGTYPE the table of fences has a value that is no number",
			func(s *redistest.Server) { s.SetFence("locks:", "locks:a fence that is no number", 1<<55) },
			func(s *redistest.Server) { s.SetFence("locks:", "locks:a fence that is no number", 0) },
		},
		"a prefix that is not permitted": {
			other, nil, "NOPERM",
			func(*redistest.Server) {},
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "holdfast", "~others:*") },
		},
		"a command that is not permitted": {
			e, nil, "NOPERM",
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "holdfast", "-set") },
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "holdfast", "+set") },
		},
		"a command that is not permitted, fenced": {
			e,
			[]engine.Option{engine.WithFencing()},
			"'set'",
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "holdfast", "-set") },
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "holdfast", "+set") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range servers[:2] {
				c.do(s)
			}
			for _, try := range []func(context.Context, string, ...engine.Option) (*lease.Lease, error){c.e.Acquire, c.e.TryAcquire} {
				_, err := try(within(t), name, c.opts...)
				oneLine(t, err)
				var q *engine.QuorumError
				if !errors.Is(err, engine.ErrRefused) || !errors.Is(err, engine.ErrNoQuorum) || !errors.As(err, &q) || strings.Count(err.Error(), c.says) < 2 {
					t.Errorf("it says %v", err)
				}
				if engine.Outcome(err) != "refused" {
					t.Errorf("the outcome is %q", engine.Outcome(err))
				}
			}
			c.mend(servers[0]) // two of three are enough
			c.mend(servers[2])
			release(t, acquire(t, c.e, name, c.opts...))
			c.mend(servers[1])
		})
	}
}

// A minority that refuses for good leaves a quorum, and what passes is waited for.
func TestWhatPassesIsWaitedFor(t *testing.T) {
	servers := redistest.StartN(t, 3)
	log := new(testkit.Log)
	e := open(t, servers, engine.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
	servers[0].MustDo("HSET", "r", "field", "1")
	release(t, acquire(t, e, "r"))
	for _, s := range servers {
		s.MustDo("CONFIG", "SET", "maxmemory", "1")
	}
	ctx, cancel := context.WithTimeout(within(t), 500*time.Millisecond)
	defer cancel()
	_, err := e.Acquire(ctx, "r2")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("out of memory: %v", err)
	}
	if n := strings.Count(log.String(), "OOM"); n != len(servers) {
		t.Errorf("it is logged %d times by %d servers:\n%v", n, len(servers), log.String())
	}
	waited := make(chan error, 1)
	go func() {
		l, err := e.Acquire(within(t), "r2")
		if err == nil {
			err = l.Release(within(t))
		}
		waited <- err
	}()
	for _, s := range servers {
		s.MustDo("CONFIG", "SET", "maxmemory", "0")
	}
	if err := <-waited; err != nil {
		t.Errorf("with memory again: %v", err)
	}
}

// A renewal is tried until the deadline, whatever the reason of the refusals. That is
// said once.
func TestARefusedRenewalIsTriedUntilTheDeadlineAndSaidOnce(t *testing.T) {
	server := redistest.Start(t)
	server.User(enginetest.User, enginetest.Password, "~* +@all")
	log := new(testkit.Log)
	e, err := enginetest.OpenAsUser(t, []*redistest.Server{server}, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatalf("enginetest.OpenAsUser: %v", err)
	}
	l := acquire(t, e, "r")
	server.MustDo("ACL", "SETUSER", "holdfast", "-pexpire")
	if err := ended(t, l); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("it ended with %v", err)
	}
	if n := strings.Count(log.String(), "renewal failed"); n != 1 {
		t.Errorf("%d lines:\n%v", n, log.String())
	}
	if n := strings.Count(log.String(), "the server refuses"); n != 1 {
		t.Errorf("%d complaints:\n%v", n, log.String())
	}
}

// Open waits for a replica that becomes a master, and does not for what stays as it is.
func TestOpenWaitsForWhatPasses(t *testing.T) {
	server := redistest.Start(t, "--replicaof", "127.0.0.1 1")
	opened := make(chan error, 1)
	go func() {
		e, err := engine.Open(within(t), []string{server.URL()}, engine.Config{MaxTTL: time.Second, TTL: time.Second, Guard: instance.GuardOff})
		if err == nil {
			err = e.Close(within(t))
		}
		opened <- err
	}()
	eventually(t, "it has been tried", func() bool { return server.Calls("client|id") > 1 })
	server.MustDo("REPLICAOF", "NO", "ONE")
	if err := <-opened; err != nil {
		t.Errorf("open while the replica becomes a master: %v", err)
	}

	server.MustDo("CONFIG", "SET", "requirepass", "s3cr3t")
	_, err := engine.Open(within(t), []string{strings.Replace(server.URL(), "unix://", "unix://:wrong@", 1)}, engine.Config{})
	if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: %v", err)
	}
}
