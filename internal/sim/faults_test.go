package sim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/sim"
)

// native runs a test with a native server and a plain connection to it.
func native(t *testing.T, test func(*testing.T, *sim.Server, *respondent)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sim.NewNative(t, 1).Servers[0]
		conn, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, &respondent{"native", conn, bufio.NewReader(conn), false})
	})
}

func TestKeysExpireByTheServersOwnClock(t *testing.T) {
	native(t, func(t *testing.T, s *sim.Server, r *respondent) {
		set := func() { r.ask(t, []string{"SET", "k", "v", "PX", "10000"}) }
		s.SetClock(0, 1.25)
		set()
		if s.TTL("k") != 8*time.Second {
			t.Errorf("on a fast clock it lives for %v", s.TTL("k"))
		}
		time.Sleep(8*time.Second + time.Millisecond)
		if s.Get("k") != "" || len(s.Keys()) != 0 {
			t.Error("it has not expired")
		}
		s.SetClock(0, 1)
		set()
		s.StepClock(4 * time.Second)
		if left := r.ask(t, []string{"PTTL", "k"}); left != int64(6000) {
			t.Errorf("after the step %v ms are left", left)
		}
		s.StepClock(-time.Hour)
		if left := r.ask(t, []string{"PTTL", "k"}); left != int64(3_606_000) {
			t.Errorf("after the step back %v ms are left", left)
		}
	})
}

func TestClockSwingsToAndFro(t *testing.T) {
	native(t, func(t *testing.T, s *sim.Server, r *respondent) {
		s.SwingClock(0, 1.25, 4*time.Second) // it is ahead by a second after four, and by none after eight
		for _, c := range []struct{ ttl, want time.Duration }{
			{5 * time.Second, 4 * time.Second},
			{7250 * time.Millisecond, 7 * time.Second},
			{8 * time.Second, 8 * time.Second},
			{13 * time.Second, 12 * time.Second},
			{15250 * time.Millisecond, 15 * time.Second},
		} {
			r.ask(t, []string{"SET", "k", "v", "PX", strconv.FormatInt(c.ttl.Milliseconds(), 10)})
			if got := s.TTL("k"); got != c.want {
				t.Errorf("a TTL of %v lasts for %v, want %v", c.ttl, got, c.want)
			}
			time.Sleep(c.want)
			if left := r.ask(t, []string{"PTTL", "k"}); left != int64(0) && left != int64(-2) {
				t.Errorf("a TTL of %v: after %v, %v ms are left", c.ttl, c.want, left)
			}
			time.Sleep(16*time.Second - c.want)
		}
	})
}

func TestStepBackShowsInTheUptime(t *testing.T) {
	native(t, func(t *testing.T, s *sim.Server, r *respondent) {
		s.Age(10 * time.Second)
		s.StepClock(-time.Minute)
		if info := r.ask(t, []string{"INFO", "server"}).(string); !strings.Contains(info, "uptime_in_seconds:-50\r\n") {
			t.Error(info)
		}
	})
}

func TestRestartWithMemoryIsAnotherProcessWithTheSameKeys(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		client.Set(t.Context(), "k", "v", 0)
		s.RestartWithMemory()
		if err := client.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if info := client.Info(t.Context(), "server").Val(); !strings.Contains(info, "run_id:sim-1.2") || s.Get("k") != "v" {
			t.Errorf("%q with %q", info, s.Get("k"))
		}
	})
}

func TestServerThatExecutesTwiceAnswersOnce(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.Twice(true)
		if n := client.Incr(t.Context(), "n").Val(); n != 1 || s.Get("n") != "2" {
			t.Errorf("it answered %d and has %s", n, s.Get("n"))
		}
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestLostRequestIsNotExecutedNorAnyBehindIt(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		conn := client.Conn()
		defer func() { _ = conn.Close() }()
		s.LoseRequests(true)
		if d, err := took(func() error { return conn.Incr(t.Context(), "n").Err() }); !errors.Is(err, os.ErrDeadlineExceeded) || d != time.Second {
			t.Errorf("%v after %v", err, d)
		}
		s.LoseRequests(false)
		if n := client.Incr(t.Context(), "n").Val(); n != 1 {
			t.Errorf("executed %d times", n)
		}
	})
}

// hosted dials from a host as its engine's instances do.
func hosted(t *testing.T, test func(*testing.T, *sim.Host, *sim.Server, *respondent)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fleet := sim.NewNative(t, 1)
		h := fleet.Host()
		conn, err := h.Dial(t.Context(), fleet.Servers[0])
		if err != nil {
			t.Fatal(err)
		}
		test(t, h, fleet.Servers[0], &respondent{"native", conn, bufio.NewReader(conn), false})
	})
}

func TestFrozenHostReadsLate(t *testing.T) {
	hosted(t, func(t *testing.T, h *sim.Host, s *sim.Server, r *respondent) {
		s.Latency(0, 10*time.Millisecond)
		go func() {
			time.Sleep(5 * time.Millisecond)
			h.Freeze()
			time.Sleep(time.Second)
			h.Resume()
		}()
		d, _ := took(func() error { r.ask(t, []string{"PING"}); return nil })
		if d != 1005*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
}

func TestHostThatIsPartedCannotDialAndItsRequestsArriveAfterwards(t *testing.T) {
	hosted(t, func(t *testing.T, h *sim.Host, s *sim.Server, r *respondent) {
		h.Part(s)
		_, _ = r.conn.Write([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"))
		_ = r.conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Dial(ctx, s); !errors.Is(err, context.DeadlineExceeded) || s.Get("k") != "" {
			t.Errorf("%v, %q", err, s.Get("k"))
		}
		h.Join(s, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if s.Get("k") != "v" {
			t.Error("it has not arrived")
		}
	})
}

func TestObserverIsToldWhatBecameOfEachKey(t *testing.T) {
	native(t, func(t *testing.T, s *sim.Server, r *respondent) {
		var seen []string
		s.Observe(func(e sim.Event) {
			for _, k := range e.Keys {
				seen = append(seen, fmt.Sprintf("%s %q→%q", e.Verb, k.Before, k.After))
			}
		})
		sha := r.ask(t, []string{"SCRIPT", "LOAD", sources(t)["release"]}).(string)
		r.ask(t, []string{"SET", "k", "v", "NX", "PX", "1000"})
		r.ask(t, []string{"EVALSHA", sha, "1", "k", "v"})
		r.ask(t, []string{"SET", "k", "w"})
		s.Forget()
		if got, want := fmt.Sprint(seen), `[acquire ""→"v" release "v"→"" acquire ""→"w" forget "w"→""]`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
