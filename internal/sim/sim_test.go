package sim_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// simulate runs a test with a server and a client that gives up after a second.
func simulate(t *testing.T, test func(*testing.T, *sim.Server, *redis.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(t, 1).Servers[0]
		client := redis.NewClient(&redis.Options{
			Dialer: s.Dial, Protocol: 2, MaxRetries: -1, DialerRetries: 1, ReadTimeout: time.Second, WriteTimeout: time.Second,
			DisableIdentity:          true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		t.Cleanup(func() { _ = client.Close() })
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		test(t, s, client)
	})
}

// took runs a command and returns how long it took on the bubble's clock.
func took(do func() error) (time.Duration, error) {
	begun := time.Now()
	err := do()
	return time.Since(begun), err
}

func TestKeysExpireByTheBubblesClock(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		if err := client.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - time.Millisecond)
		if s.Get("k") != "v" || s.TTL("k") != time.Millisecond || len(s.Keys()) != 1 {
			t.Errorf("%q for another %v", s.Get("k"), s.TTL("k"))
		}
		time.Sleep(time.Millisecond)
		if s.Get("k") != "" || s.TTL("k") != 0 || len(s.Keys()) != 0 {
			t.Error("it has not expired")
		}
	})
}

func TestLatencyIsThatOfTheWay(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.Latency(300*time.Millisecond, 200*time.Millisecond)
		go func() {
			time.Sleep(299 * time.Millisecond)
			if s.Get("k") != "" {
				t.Error("executed before it arrived")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if s.Get("k") != "v" {
				t.Error("not executed when it arrived")
			}
		}()
		d, err := took(func() error { return client.Set(t.Context(), "k", "v", 0).Err() })
		if err != nil || d != 500*time.Millisecond {
			t.Errorf("%v after %v", err, d)
		}
	})
}

func TestServerThatHangsAcceptsEverythingAndServesItWhenThawed(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.Hang()
		large := strings.Repeat("x", 1<<20)
		d, err := took(func() error { return client.Set(t.Context(), "k", large, 0).Err() })
		if !errors.Is(err, os.ErrDeadlineExceeded) || d != time.Second {
			t.Errorf("%v after %v", err, d)
		}
		if s.Get("k") != "" {
			t.Error("it was served")
		}
		s.Thaw()
		synctest.Wait()
		if s.Get("k") != large {
			t.Error("it was not served after the thaw, though the client has left")
		}
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestContextsDeadlineIsKeptOnTheBubblesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(t, 1).Servers[0]
		client := redis.NewClient(&redis.Options{
			Dialer: s.Dial, Protocol: 2, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		defer func() { _ = client.Close() }()
		s.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if d, err := took(func() error { return client.Ping(ctx).Err() }); err == nil || d != 10*time.Millisecond {
			t.Errorf("%v after %v", err, d)
		}
	})
}

func TestCutBreaksAtOnceAndRefusesUntilMended(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.Latency(0, 500*time.Millisecond)
		go func() {
			time.Sleep(100 * time.Millisecond)
			s.Cut()
		}()
		d, err := took(func() error { return client.Set(t.Context(), "k", "v", 0).Err() })
		if !errors.Is(err, syscall.ECONNRESET) || d != 100*time.Millisecond {
			t.Errorf("%v after %v", err, d)
		}
		if s.Get("k") != "v" {
			t.Error("the server forgot")
		}
		if err := client.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		s.Mend()
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestLostReplyWasExecutedAndItsConnectionStaysMute(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, _ *redis.Client) {
		conn, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		s.LoseReplies(true)
		send := func() error {
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write([]byte("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")); err != nil {
				return err
			}
			_, err := conn.Read(make([]byte, 100))
			return err
		}
		for _, lose := range []bool{true, false} {
			s.LoseReplies(lose)
			if d, err := took(send); !errors.Is(err, os.ErrDeadlineExceeded) || d != time.Second {
				t.Errorf("%v after %v", err, d)
			}
		}
		if s.Get("n") != "2" {
			t.Errorf("executed %s times", s.Get("n"))
		}
	})
}

func TestRestartForgetsEverythingAndIsAnotherProcess(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		before := client.Info(t.Context(), "server").Val()
		sha := client.ScriptLoad(t.Context(), "return 1").Val()
		client.Set(t.Context(), "k", "v", 0)
		s.Hang()
		s.Restart()
		if err := client.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		after := client.Info(t.Context(), "server").Val()
		if after == before || !strings.Contains(after, "run_id:sim-1.2") || !strings.Contains(after, "uptime_in_seconds:0") {
			t.Errorf("%q, before %q", after, before)
		}
		if err := client.EvalSha(t.Context(), sha, nil).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
			t.Errorf("the script: %v", err)
		}
		if len(s.Keys()) != 0 {
			t.Errorf("%q", s.Keys())
		}
	})
}

func TestKilledConnectionExecutesNothingMore(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		id := client.ClientID(t.Context()).Val()
		s.Hang()
		if err := client.Set(t.Context(), "k", "v", 0).Err(); err == nil {
			t.Fatal("no timeout")
		}
		s.ThawReordered(time.Second)
		if n, err := client.ClientKillByFilter(t.Context(), "ID", "99").Result(); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
		killed := func() string { return client.Do(t.Context(), "CLIENT", "KILL", "ID", id).String() }()
		time.Sleep(2 * time.Second)
		if s.Get("k") != "" {
			t.Errorf("%s, and then its request was executed", killed)
		}
	})
}

func TestReorderedThawServesTheOldSocketsLast(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.Hang()
		if err := client.Set(t.Context(), "k", "old", 0).Err(); err == nil {
			t.Fatal("no timeout")
		}
		s.ThawReordered(time.Second)
		if err := client.Set(t.Context(), "k", "new", 0).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if s.Get("k") != "old" {
			t.Errorf("%q is there", s.Get("k"))
		}
	})
}

func TestClosedConnectionSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, _ *redis.Client) {
		conn, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		_ = conn.Close()
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestCallsAndRefusals(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim.Server, client *redis.Client) {
		s.ForgetCalls()
		s.Refuse("OOM no")
		if err := client.Set(t.Context(), "k", "v", 0).Err(); err == nil || err.Error() != "OOM no" {
			t.Error(err)
		}
		s.Refuse("")
		if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Error(err)
		}
		calls := s.Calls()
		if len(calls) != 2 || calls[0].Args[1] != "k" || !calls[0].At.Equal(time.Now()) {
			t.Errorf("%v", calls)
		}
		if n := s.Connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}
