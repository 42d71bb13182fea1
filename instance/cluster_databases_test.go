package instance_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// Most clusters have one database, and say so themselves: what mends it is said with it.
func TestClusterSaysThatItHasNotTheDatabase(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 1, false)
	for _, url := range []string{"redis-cluster://" + c.Addrs()[0] + "/3", "redis-cluster://" + c.Addrs()[0] + "?db=3"} {
		refused(t, url, instance.Config{}, "cluster-databases")
	}
}

// Where a cluster has several databases (Valkey 9: cluster-databases), its locks are in the one that is named, on every
// node and whatever connection asks: also on one that is opened anew, on the one that waits, and after a slot has moved.
func TestClusterDatabases(t *testing.T) {
	t.Parallel()
	const database = 3
	if s := redistest.Start(t); len(s.MustDo("CONFIG", "GET", "cluster-databases").([]any)) == 0 {
		t.Skip("this server's clusters have database 0 alone, those of Valkey 9 may have more: make servers")
	}
	c := redistest.StartCluster(t, 3, false, "--cluster-databases", "4")
	url := "redis-cluster://" + c.Addrs()[0]
	there := fmt.Sprintf("%s/%d", url, database)
	in := func(s *redistest.Server) *redis.Client {
		client := redis.NewClient(&redis.Options{Addr: s.Addr(), DB: database, DisableIdentity: true})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	cfg := engine.Config{TTL: 3 * time.Second}
	open := func(url string) *engine.Engine {
		e := enginetest.New(t, cfg, enginetest.Dial(t, url, instance.Config{}))
		state(t, e, 0, instance.Up)
		return e
	}
	a, b, other := open(there), open(there), open(url)

	for _, s := range c.Masters {
		key := keyOf(c, s, "r")
		held := acquire(t, a, key, engine.WithFencing())
		if got := in(s).Get(within(t), key).Val(); got != held.Token() {
			t.Errorf("in database %d of %s: got %q, want the token %q", database, s.Addr(), got, held.Token())
		}
		if got := s.Get(key); got != "" {
			t.Errorf("in database 0 of %s: got %q, want nothing", s.Addr(), got)
		}
		release(t, acquire(t, other, key)) // another database, another lock

		// Somebody waits, and is woken.
		next := enginetest.Wait(t, b, c.Masters, key)
		release(t, held)
		l := <-next
		if l == nil {
			t.Fatal("who waited was not served")
		}
		release(t, l)
	}

	// A lock goes along with its slot, and is renewed and released where it is then.
	key := keyOf(c, c.Masters[0], "moves")
	held := acquire(t, a, key)
	slot := strconv.Itoa(c.Slot(key))
	id, _ := c.Masters[1].MustDo("CLUSTER", "MYID").(string)
	c.Masters[0].MustDo("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", id)
	eventually(t, "the slot has moved", func() bool { return c.Owner(c.Slot(key)) == c.Masters[1] })
	was := held.Deadline()
	eventually(t, "it is renewed", func() bool { return held.Deadline().After(was) })
	if got := in(c.Masters[1]).Get(within(t), key).Val(); got != held.Token() {
		t.Errorf("where the slot is now: got %q, want the token %q", got, held.Token())
	}
	release(t, held)
	if n := in(c.Masters[1]).Exists(within(t), key).Val(); n != 0 {
		t.Error("after the release the key is still there")
	}

	// A new connection is to the same database.
	key = keyOf(c, c.Masters[2], "again")
	held = acquire(t, a, key)
	c.Masters[2].MustDo("CLIENT", "KILL", "TYPE", "normal")
	was = held.Deadline()
	eventually(t, "it is renewed on a new connection", func() bool { return held.Deadline().After(was) })
	release(t, held)
	if held.Err() != lease.ErrReleased { // the bare value
		t.Errorf("the lease has ended with %v, want it released", held.Err())
	}

	refused(t, url+"/4", instance.Config{}, "cluster-databases")
	if keys := strings.Join(c.Masters[0].Keys(), " "); keys != "" {
		t.Errorf("database 0 has %s, want nothing", keys)
	}
}
