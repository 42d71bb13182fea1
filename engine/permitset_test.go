package engine

import (
	"fmt"
	"testing"
	"time"
)

// Of how many resources permits are held, their sets are remembered; when they have been given back, of mostPermitSets.
func TestPermitSetsAreForgotten(t *testing.T) {
	const held = 3 * mostPermitSets
	p := new(permitSets)
	sets := make([]*permitSet, held)
	for k := range sets {
		sets[k] = p.of("", fmt.Sprint("r", k), 8)
		sets[k].took([]int{k % 8})
	}
	if len(p.all) != held {
		t.Fatalf("%d sets are remembered, want %d: all are in use", len(p.all), held)
	}
	for k, s := range sets {
		s.gaveBack([]int{k % 8})
	}
	if len(p.all) != mostPermitSets {
		t.Errorf("%d sets are remembered, want %d", len(p.all), mostPermitSets)
	}
	for k := range held {
		p.of("", fmt.Sprint("another", k), 8)
	}
	if len(p.all) != mostPermitSets {
		t.Errorf("%d sets are remembered of those that nobody has used, want %d", len(p.all), mostPermitSets)
	}
}

// A new resource costs as much where permits of very many are held as where none is.
func BenchmarkPermitSet(b *testing.B) {
	for _, held := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			p := new(permitSets)
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
	s := new(permitSets).of("", "r", 3)
	s.start = 0
	s.doubt([]int{0}, time.Now().Add(time.Hour))
	s.doubt([]int{1}, time.Now().Add(-time.Hour))
	if got := s.order(3); fmt.Sprint(got) != "[1 2 0]" {
		t.Errorf("the order is %v, want [1 2 0]", got)
	}
}
