package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// BenchmarkDistinct is the scenario distinct as a Go benchmark: one acquire and its release, of a resource that nobody
// else wants. Compare the rows of one run:
//
//	go test -run '^$' -bench Distinct/N=5
func BenchmarkDistinct(b *testing.B) {
	for _, n := range []int{1, 3, 5} {
		for _, callers := range []int{1, 64, 512} {
			for _, p := range locks {
				if p.solo && n > 1 {
					continue
				}
				b.Run(fmt.Sprintf("N=%d/callers=%d/%s", n, callers, p.name), func(b *testing.B) { benchmark(b, p, n, callers) })
			}
		}
	}
}

func benchmark(b *testing.B, p peer, n, callers int) {
	ctx := context.Background()
	f, err := startFleet(ctx, p.program(), n, false)
	if err != nil {
		b.Fatalf("startFleet: %v", err)
	}
	defer func() { _ = f.stop() }()
	l, err := p.open(ctx, f)
	if err != nil {
		b.Fatalf("p.open: %v", err)
	}
	defer l.close()
	once := func(s session) {
		err := s.acquire(ctx)
		if err == nil {
			err = s.release(ctx)
		}
		if err != nil {
			b.Errorf("acquire and release: %v", err)
		}
	}
	b.ReportAllocs()
	if callers == 1 {
		s := l.session("resource")
		for b.Loop() {
			once(s)
		}
		return
	}
	var next atomic.Int64
	b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		s := l.session(fmt.Sprintf("resource-%d", next.Add(1)))
		for pb.Next() {
			once(s)
		}
	})
}
