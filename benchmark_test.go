package holdfast_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// BenchmarkAcquireRelease is one Acquire and its Release, of distinct resources.
// The comparison with other libraries is the module bench/.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, n := range []int{1, 3, 5} {
		servers := redistest.StartN(b, n)
		for _, callers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("N=%d/callers=%d", n, callers), func(b *testing.B) {
				e, err := engine.Open(context.Background(), redistest.URLs(servers), engine.Config{})
				if err != nil {
					b.Fatalf("engine.Open: %v", err)
				}
				defer func() { _ = e.Close(context.Background()) }()
				cycle(b, e, callers)
			})
		}
	}
}

func cycle(b *testing.B, e *engine.Engine, callers int) {
	ctx := context.Background()
	once := func(resource string) {
		l, err := e.Acquire(ctx, resource)
		if err == nil {
			err = l.Release(ctx)
		}
		if err != nil {
			b.Errorf("acquire and release: %v", err)
		}
	}
	b.ReportAllocs()
	if callers == 1 {
		for b.Loop() {
			once("resource")
		}
		return
	}
	b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		resource := fmt.Sprintf("resource-%p", pb)
		for pb.Next() {
			once(resource)
		}
	})
}
