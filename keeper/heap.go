package keeper

import "container/heap"

// dueHeap orders entries by due time; each knows its index, so that a released
// lease leaves at once.
type dueHeap []*Entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(a, b int) bool { return h[a].due < h[b].due }

func (h dueHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = int32(a+1), int32(b+1)
}

func (h *dueHeap) Push(x any) {
	e := x.(*Entry)
	*h = append(*h, e)
	e.index = int32(len(*h))
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = 0
	return e
}

func (h *dueHeap) add(e *Entry) { heap.Push(h, e) }

func (h *dueHeap) remove(e *Entry) {
	if e.index > 0 {
		heap.Remove(h, int(e.index-1))
	}
}
