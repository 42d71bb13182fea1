package keeper

// line has the entries that are due and wait until fewer others are under way:
// first come, first served. One that leaves care meanwhile is passed over.
type line struct {
	entries []*Entry
	served  int // so many at the front are gone
}

func (l *line) join(e *Entry) {
	if l.served > len(l.entries)/2 {
		n := copy(l.entries, l.entries[l.served:])
		clear(l.entries[n:])
		l.entries, l.served = l.entries[:n], 0
	}
	l.entries = append(l.entries, e)
}

// pop returns the first that is still in care, or nil if there is none.
func (l *line) pop() *Entry {
	for l.served < len(l.entries) {
		e := l.entries[l.served]
		l.entries[l.served] = nil
		l.served++
		if e.queued() {
			return e
		}
	}
	const kept = 1 << 14 // room for the usual; what an exceptional crowd needed is given back
	if l.served = 0; cap(l.entries) > kept {
		l.entries = nil
	}
	l.entries = l.entries[:0]
	return nil
}

func (l *line) empty() bool { return l.served == len(l.entries) }
