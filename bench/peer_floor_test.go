package main

import "testing"

func TestRepliesAreCountedAcrossReads(t *testing.T) {
	var c counter
	total := 0
	for _, part := range []string{"$-1\r\n:1", "\r", "\n$", "-1\r\n"} {
		n, err := c.count([]byte(part))
		if err != nil {
			t.Fatalf("c.count: %v", err)
		}
		total += n
	}
	if total != 3 {
		t.Errorf("counted %d replies, want 3", total)
	}
	for _, bad := range []string{"$26\r\n", ":0\r\n", "-ERR\r\n"} {
		if _, err := new(counter).count([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
