package tracking

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// A dial of go-redis's that comes when its attempt is over finds nothing, and the
// attempts that follow are none the worse for it.
func TestADialThatComesTooLateDoesTheTrackerNoHarm(t *testing.T) {
	server := redistest.Start(t)
	opt := &redis.Options{Addr: server.Addr()}
	reach.Tune(opt, 5*time.Second)
	tracker := New(Options{Redis: opt, Timeout: 5 * time.Second})
	defer tracker.Close()
	for range 3 {
		if err := tracker.client.Ping(t.Context()).Err(); !errors.Is(err, reach.ErrNotDialed) {
			t.Fatalf("nothing had been dialed: %v", err)
		}
	}
	conn, err := net.Dial(server.Network(), server.Addr())
	if err != nil {
		t.Fatalf("net.Dial: %v", err)
	}
	tracker.dialed <- reach.NewDoor(conn)
	if err := tracker.client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first attempt to connect: %v", err)
	}
}
