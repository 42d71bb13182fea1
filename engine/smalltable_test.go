package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// TestATrackingTableThatIsTooSmallIsNoStorm: the server forgets most of what it has promised to tell, says so, and is not asked
// anew by everybody at once.
func TestATrackingTableThatIsTooSmallIsNoStorm(t *testing.T) {
	t.Parallel()
	const waiters, table = 400, 20
	servers := redistest.StartN(t, 1)
	servers[0].MustDo("CONFIG", "SET", "tracking-table-max-keys", fmt.Sprint(table))
	names := resourcesNamed(waiters)
	allGranted(t, tryEach(t, open(t, servers, engine.Config{TTL: time.Minute, MaxTTL: time.Minute}), names))
	e := open(t, servers, engine.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for _, name := range names {
		waiting.Go(func() { _, _ = e.Acquire(ctx, name) })
	}
	eventually(t, "all wait", func() bool { return e.Snapshot(0).Waiting == waiters })
	time.Sleep(3 * time.Second) // they look at every change at first, and then take their time
	const long = 4 * time.Second
	got := sentIn(t, servers[0], long)
	t.Logf("%d waiters sent %d commands in %v", waiters, got, long)
	if most := int(250 * long.Seconds()); got > most { // 100 a second, and 730 in a storm
		t.Errorf("%d waiters sent %d commands in %v, want %d at most", waiters, got, long, most)
	}
	if n := e.Snapshot(0).Waiting; n != waiters || got == 0 {
		t.Errorf("%d of %d wait still, and %d commands were seen: want all, and some", n, waiters, got)
	}
	cancel()
	waiting.Wait()
}

// sentIn counts the commands that clients send to a server, without those inside scripts.
func sentIn(t *testing.T, s *redistest.Server, long time.Duration) (n int) {
	t.Helper()
	conn, err := net.Dial(s.Network(), s.Addr())
	if err != nil {
		t.Fatalf("net.Dial: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatalf("MONITOR: %v", err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(long))
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if !strings.Contains(lines.Text(), " lua]") {
			n++
		}
	}
	return n
}
