package sim

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/holdfast-go/holdfast/instance"
)

// Fleet is the servers of one test.
type Fleet struct {
	Servers []*Server

	t testing.TB
}

// New starts n servers, named sim-1, sim-2, …, that are closed with the test. It
// is called inside a bubble.
func New(t testing.TB, n int) *Fleet {
	t.Helper()
	f := &Fleet{t: t}
	for k := range n {
		s, err := newServer(fmt.Sprintf("sim-%d", k+1))
		if err != nil {
			t.Fatalf("sim: %v", err)
		}
		t.Cleanup(s.close)
		f.Servers = append(f.Servers, s)
	}
	return f
}

// Instances makes one instance a server, for one engine: call it again for the
// next engine. Each is called after its server.
func (f *Fleet) Instances(cfg instance.Config) []*instance.Instance {
	instances := make([]*instance.Instance, 0, len(f.Servers))
	for _, s := range f.Servers {
		client := redis.NewClient(&redis.Options{
			Addr:                     s.name,
			Dialer:                   s.Dial,
			DisableIdentity:          true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		f.t.Cleanup(func() { _ = client.Close() })
		cfg.Name = s.name
		instances = append(instances, instance.New(client, cfg))
	}
	return instances
}

// Each does something to every server.
func (f *Fleet) Each(do func(*Server)) { Each(f.Servers, do) }

// Each does something to each of the servers, such as fleet.Servers[:2].
func Each(servers []*Server, do func(*Server)) {
	for _, s := range servers {
		do(s)
	}
}

// Holders returns what each server has under the key: "" is nothing.
func (f *Fleet) Holders(key string) []string {
	var holders []string
	for _, s := range f.Servers {
		holders = append(holders, s.Get(key))
	}
	return holders
}

// Count returns how many servers have this value under the key.
func (f *Fleet) Count(key, value string) int {
	n := 0
	for _, holder := range f.Holders(key) {
		if holder == value {
			n++
		}
	}
	return n
}
