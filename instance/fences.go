package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Where fences are kept. All engines must agree on it, whichever commands they use, so it is part of the wire format: the
// number in the table's name changes with it.
//
// A server on its own has one table of fences, whatever the number of resources: a key without a TTL, of 65,536 cells of
// 7 bytes, numbers with the highest byte first. A resource's cell follows from its lock's key. Resources that share one only
// raise each other's fence.
//
// In a cluster a key is in one slot, and a script may touch one slot. There a fence is a key beside its lock, with a TTL.
const (
	tableName = slots.FenceTable
	cells     = 1 << 16
	cellBytes = 7
)

// Fencing is what a command carries when the lock has a fencing token.
//
// It is for the engine.
type Fencing struct {
	Prefix   string        // what the names of the keys with fences begin with
	Fence    uint64        // the proposal, at most MaxFence; 0 is none: no fencing
	Reserved uint64        // how many more come with the lock, to be given to those it is handed on to
	FenceTTL time.Duration // how long a fence is remembered when nobody uses it, in a cluster
	MaxAhead time.Duration // how far a proposal may be ahead of the server's clock
}

// MaxFence is the highest fence: Lua numbers are exact up to there.
//
// It is for the engine.
const MaxFence = 1<<53 - 1

// highest is what every later proposal must exceed.
func (f *Fencing) highest() uint64 { return f.Fence + f.Reserved }

// beside is the key of the fence in a cluster; "" without fencing.
func (f *Fencing) beside(key string) string {
	if f.Fence == 0 {
		return ""
	}
	return slots.Beside(f.Prefix, slots.Fence, key)
}

// cellOf is the cell of a lock's key: its 64-bit FNV-1a hash, both halves folded into one, modulo the number of cells.
func cellOf(key string) int {
	h := uint64(14695981039346656037)
	for k := range len(key) {
		h = (h ^ uint64(key[k])) * 1099511628211
	}
	return int((h ^ h>>32) % cells)
}

// appendTable appends the name of the table as an argument.
func (f *Fencing) appendTable(out []byte) []byte {
	return resp.AppendArg2(out, f.Prefix, tableName)
}

// appendCell appends where the cell of a key begins and ends in the table.
func appendCell(out []byte, key string) []byte {
	first := int64(cellOf(key) * cellBytes)
	out = resp.AppendNumber(out, first)
	return resp.AppendNumber(out, first+cellBytes-1)
}
