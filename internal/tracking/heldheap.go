package tracking

import "container/heap"

// heldHeap has watches in the order of the times at which they are to be asked about.
type heldHeap []*Held

func (h heldHeap) Len() int           { return len(h) }
func (h heldHeap) Less(a, b int) bool { return h[a].due.Before(h[b].due) }

func (h heldHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a+1, b+1
}

func (h *heldHeap) Push(x any) {
	w := x.(*Held)
	*h = append(*h, w)
	w.index = len(*h)
}

func (h *heldHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.index = 0
	return w
}

func (h *heldHeap) add(w *Held) { heap.Push(h, w) }

// remove takes a watch out, if it is in.
func (h *heldHeap) remove(w *Held) {
	if w.index > 0 {
		heap.Remove(h, w.index-1)
	}
}

// first returns the one whose time comes first; nil: there is none.
func (h heldHeap) first() *Held {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}
