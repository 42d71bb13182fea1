package sim

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// What a table of fences needs: the commands that read and change some bytes of a long value.

// LacksBitfield takes BITFIELD from a native server, as it is missing in miniredis.
func (s *Server) LacksBitfield() {
	n := s.store.(*native)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lacksBitfield = true
}

// cellBytes is the length of a cell, a number with its highest byte first.
const cellBytes = 7

// slice is what a value has between two positions, as far as it is that long.
func (e entry) slice(first, end int) string {
	if e.bytes != nil {
		end = min(end, len(e.bytes))
		return string(e.bytes[min(first, end):end])
	}
	end = min(end, len(e.value))
	return e.value[min(first, end):end]
}

// inPlace is the value of a key as bytes that may be changed, at least so many. Called with mu held, as all that follow.
func (n *native) inPlace(key string, length int) []byte {
	e, ok := n.entry(key)
	if e.bytes == nil {
		e.bytes = []byte(e.value)
	}
	e.bytes = append(e.bytes, make([]byte, max(0, length-len(e.bytes)))...)
	if ok || length > 0 {
		n.entries[key] = e
	}
	return e.bytes
}

// rangeOf is GETRANGE, with positions from the beginning.
func (n *native) rangeOf(key string, first, last int64) []byte {
	e, _ := n.entry(key)
	return bulk(e.slice(int(first), int(last+1)))
}

// overwrite is SETRANGE.
func (n *native) overwrite(key string, first int64, text string) int64 {
	length := 0
	if text != "" {
		length = int(first) + len(text)
	}
	value := n.inPlace(key, length)
	copy(value[min(int(first), len(value)):], text)
	return int64(len(value))
}

// bitfield is BITFIELD with the operations that instances send, on cells of the table.
func (n *native) bitfield(args []string) []byte {
	if len(args) == 0 {
		return text("-ERR wrong number of arguments for 'bitfield' command")
	}
	key, rest := args[0], args[1:]
	saturates := false
	var replies [][]byte
	for len(rest) > 0 {
		switch operation := strings.ToUpper(rest[0]); {
		case operation == "OVERFLOW" && len(rest) > 1 && strings.EqualFold(rest[1], "SAT"):
			saturates, rest = true, rest[2:]
		case operation == "GET" && len(rest) > 2 && rest[1] == "u56" && strings.HasPrefix(rest[2], "#"):
			replies = append(replies, number(int64(n.cell(key, int(integer(rest[2][1:]))))))
			rest = rest[3:]
		case operation == "INCRBY" && len(rest) > 3 && rest[1] == "u56" && strings.HasPrefix(rest[2], "#") && saturates:
			at := int(integer(rest[2][1:]))
			value := min(max(int64(n.cell(key, at))+integer(rest[3]), 0), 1<<(8*cellBytes)-1)
			n.setCell(key, at, uint64(value))
			replies = append(replies, number(value))
			rest = rest[4:]
		default:
			return text("-ERR sim: no such operation of BITFIELD here: " + strings.Join(rest, " "))
		}
	}
	return list(replies...)
}

func (n *native) cell(key string, at int) (number uint64) {
	e, _ := n.entry(key)
	return numberIn(e.slice(at*cellBytes, (at+1)*cellBytes))
}

// numberIn is the number in the bytes of a cell. Behind the end of the table there are zeros.
func numberIn(cell string) (number uint64) {
	for k := range cellBytes {
		number <<= 8
		if k < len(cell) {
			number |= uint64(cell[k])
		}
	}
	return number
}

func (n *native) setCell(key string, at int, number uint64) {
	value := n.inPlace(key, (at+1)*cellBytes)
	for k := (at+1)*cellBytes - 1; k >= at*cellBytes; k-- {
		value[k] = byte(number)
		number >>= 8
	}
}

// What tests ask.

// fenceTable is what the table of fences is called, behind the prefix.
const fenceTable = "fences:1"

// cellOf is the cell of a lock's key.
func cellOf(key string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	sum := h.Sum64()
	return int((sum ^ sum>>32) % (1 << 16))
}

// Fence is the highest fence in the cell of a lock's key, in the table of the engines with this prefix.
func (s *Server) Fence(prefix, key string) uint64 { return s.cell(prefix+fenceTable, cellOf(key)) }

func (s *Server) cell(table string, at int) uint64 {
	if n, ok := s.store.(*native); ok {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.cell(table, at)
	}
	return numberIn(entry{value: s.Get(table)}.slice(at*cellBytes, (at+1)*cellBytes))
}

// SetFence puts a number into the cell of a lock's key.
func (s *Server) SetFence(prefix, key string, fence uint64) {
	s.executing.Lock()
	defer s.executing.Unlock()
	table := []byte(s.Get(prefix + fenceTable))
	end := (cellOf(key) + 1) * cellBytes
	table = append(table, make([]byte, max(0, end-len(table)))...)
	for k := range cellBytes {
		table[end-1-k] = byte(fence >> (8 * k))
	}
	s.alter(func() { s.store.set(prefix+fenceTable, string(table), 0) })
}

// cellName is what an Event calls a cell of a table: it is no key of its own.
func cellName(table, at string) string { return table + "#" + at }

// named is the value of a key, or of a cell that is called so: "" is nothing.
func (s *Server) named(key string) string {
	table, at, isCell := strings.Cut(key, fenceTable+"#")
	if !isCell {
		return s.Get(key)
	}
	fence := s.cell(table+fenceTable, int(integer(at)))
	if fence == 0 {
		return ""
	}
	return strconv.FormatUint(fence, 10)
}
