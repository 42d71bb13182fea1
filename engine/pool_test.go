package engine

import (
	"fmt"
	"testing"
	"time"
)

// Of how many resources permits are held, their pools are remembered; when they have been given back, of mostPools.
func TestPoolsAreForgotten(t *testing.T) {
	const held = 3 * mostPools
	p := new(pools)
	pools := make([]*pool, held)
	for k := range pools {
		pools[k] = p.of("", fmt.Sprint("r", k), 8)
		pools[k].took([]int{k % 8})
	}
	if len(p.all) != held {
		t.Fatalf("%d pools are remembered, want %d: all are in use", len(p.all), held)
	}
	for k, s := range pools {
		s.gaveBack([]int{k % 8})
	}
	if len(p.all) != mostPools {
		t.Errorf("%d pools are remembered, want %d", len(p.all), mostPools)
	}
	for k := range held {
		p.of("", fmt.Sprint("another", k), 8)
	}
	if len(p.all) != mostPools {
		t.Errorf("%d pools are remembered of those that nobody has used, want %d", len(p.all), mostPools)
	}
}

// A new resource costs as much where permits of very many are held as where none is.
func BenchmarkPool(b *testing.B) {
	for _, held := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			p := new(pools)
			for k := range held {
				p.of("", fmt.Sprint("r", k), 8).took([]int{0})
			}
			k := 0
			for b.Loop() {
				k++
				p.of("", fmt.Sprint("another", k), 8)
			}
		})
	}
}

// What is doubted comes behind what is not, until the doubt is over.
func TestDoubtedPermitsComeLast(t *testing.T) {
	s := new(pools).of("", "r", 3)
	s.start = 0
	s.doubt([]int{0}, time.Now().Add(time.Hour))
	s.doubt([]int{1}, time.Now().Add(-time.Hour))
	if got := s.order(3); fmt.Sprint(got) != "[1 2 0]" {
		t.Errorf("the order is %v, want [1 2 0]", got)
	}
}
