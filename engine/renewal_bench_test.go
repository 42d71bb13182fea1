package engine

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/keeper"
	"github.com/holdfast-go/holdfast/lease"
)

// holding1000 is an engine of three instances that nobody can reach, and 1000
// leases that it holds all the same.
func holding1000(b *testing.B) (*Engine, []*keeper.Entry) {
	b.Helper()
	var instances []*instance.Instance
	for n := range 3 {
		i, err := instance.Dial("unix:///nonexistent/"+strconv.Itoa(n), instance.Config{})
		if err != nil {
			b.Fatalf("instance.Dial: %v", err)
		}
		instances = append(instances, i)
	}
	e, err := New(instances, Config{TTL: time.Minute, RenewEvery: 50 * time.Second})
	if err != nil {
		b.Fatalf("New: %v", err)
	}
	b.Cleanup(func() { _ = e.Close(b.Context()) })
	for n := range 1000 {
		grantOne(b, e, "resource/"+strconv.Itoa(n))
	}
	return e, e.keeper.Entries()
}

func grantOne(b *testing.B, e *Engine, resource string) *lease.Lease {
	b.Helper()
	r, err := e.request("acquire", resource, nil)
	if err != nil {
		b.Fatalf("e.request: %v", err)
	}
	l, err := e.grant(r, newTokens("").fresh(), instance.Fencing{}, clock.Now())
	if err != nil {
		b.Fatalf("e.grant: %v", err)
	}
	return l
}

// BenchmarkRenewal is all that the engine and the keeper do for the renewal of one
// lease at three instances: an op is one lease. The instances' part is not in it.
func BenchmarkRenewal(b *testing.B) {
	e, entries := holding1000(b)
	votes := make([]instance.Vote, instance.MaxRenewals)
	for k := range votes {
		votes[k] = instance.Vote{Instance: "instance", Kind: instance.Granted}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += instance.MaxRenewals {
		r := e.newRenewal()
		for k := range instance.MaxRenewals {
			r.add(entries[(done+k)%len(entries)])
		}
		r.text = instance.EncodeRenewals(r.text[:0], r.items)
		r.open.Store(int64(len(r.items) * len(r.seats)))
		r.start = clock.Sample()
		for seat := range r.seats {
			r.seats[seat].CastRenewals(r.items, votes)
		}
	}
}

// BenchmarkHeldLease is the memory of one held lease: what an acquire leaves
// behind for as long as it is held, but for the name, which is the caller's.
func BenchmarkHeldLease(b *testing.B) {
	e, _ := holding1000(b)
	name := "a resource"
	before := liveHeap()
	held := make([]*lease.Lease, 0, b.N)
	for range b.N {
		held = append(held, grantOne(b, e, name))
	}
	b.ReportMetric(float64(liveHeap()-before-8*uint64(cap(held)))/float64(b.N), "B/lease")
	runtime.KeepAlive(held)
}

// liveHeap returns the bytes that are reachable.
func liveHeap() uint64 {
	for range 2 { // what a sync.Pool holds is gone after the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
