package main

import "testing"

func TestLinesOfBatchesAreCountedAcrossReads(t *testing.T) {
	var c lineCounter
	for _, part := range []string{"+OK\r\n*2\r\n:1", "\r", "\n:1\r\n", "+O", "K\r\n"} {
		if err := c.count([]byte(part)); err != nil {
			t.Fatalf("c.count: %v", err)
		}
	}
	if c.lines != 5 {
		t.Errorf("counted %d lines, want 5", c.lines)
	}
	for _, bad := range []string{"$-1\r\n", ":0\r\n", "-ERR\r\n"} {
		if err := new(lineCounter).count([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
