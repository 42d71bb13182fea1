package keeper

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The heap has what a list has, and its first is the list's earliest.
func TestHeapIsAListWhoseFirstIsTheEarliest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h dueHeap
		var list []*Entry
		due := func(t *rapid.T) time.Duration { return time.Duration(rapid.IntRange(0, 20).Draw(t, "due")) }
		one := func(t *rapid.T) *Entry {
			if len(list) == 0 {
				t.Skip("empty")
			}
			return rapid.SampledFrom(list).Draw(t, "entry")
		}
		drop := func(e *Entry) {
			h.remove(e)
			list = slices.DeleteFunc(list, func(other *Entry) bool { return other == e })
			if e.index != 0 {
				t.Errorf("what is not there has index %d", e.index)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := &Entry{due: due(t)}
				list = append(list, e)
				h.add(e)
			},
			"move": func(t *rapid.T) {
				e := one(t)
				h.remove(e)
				e.due = due(t)
				h.add(e)
			},
			"remove": func(t *rapid.T) {
				e := one(t)
				drop(e)
				h.remove(e) // twice is fine
			},
			"take the first": func(t *rapid.T) {
				one(t)
				earliest := slices.MinFunc(list, func(a, b *Entry) int { return cmp.Compare(a.due, b.due) })
				if h[0].due != earliest.due {
					t.Errorf("the first is due %v after the earliest", h[0].due-earliest.due)
				}
				drop(h[0])
			},
			"": func(t *rapid.T) {
				if len(h) != len(list) {
					t.Fatalf("%d in the heap, %d in the list", len(h), len(list))
				}
				for n, e := range h {
					if int(e.index) != n+1 || !slices.Contains(list, e) {
						t.Errorf("at %d is one that thinks it is at %d", n+1, e.index)
					}
				}
			},
		})
	})
}
