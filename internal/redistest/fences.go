package redistest

import (
	"encoding/binary"
	"hash/fnv"
	"strconv"
)

// The table of fences, as docs/internals.md describes it: in words of our own, so that a change of the wire format is seen.
const (
	fenceTable = "fences:1"
	cellBytes  = 7
)

// CellOf is where a lock's key has its fence in the table: its first byte.
func CellOf(key string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	sum := h.Sum64()
	return int((sum^sum>>32)%65536) * cellBytes
}

// Fence is the highest fence in the cell of a lock's key, in the table of the engines with this prefix.
func (s *Server) Fence(prefix, key string) uint64 {
	s.t.Helper()
	first := CellOf(key)
	cell, _ := s.MustDo("GETRANGE", prefix+fenceTable, strconv.Itoa(first), strconv.Itoa(first+cellBytes-1)).(string)
	var number [8]byte
	copy(number[1:], cell)
	return binary.BigEndian.Uint64(number[:])
}

// SetFence puts a number into that cell.
func (s *Server) SetFence(prefix, key string, fence uint64) {
	s.t.Helper()
	cell := binary.BigEndian.AppendUint64(nil, fence)[1:]
	s.MustDo("SETRANGE", prefix+fenceTable, strconv.Itoa(CellOf(key)), string(cell))
}
