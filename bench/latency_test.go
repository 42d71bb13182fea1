package main

import (
	"io"
	"testing"
	"time"
)

// All peers of the scenario use the same servers: what one leaves there must keep no other out.
func TestNobodyIsKeptOutByWhatOthersLeave(t *testing.T) {
	needRedis(t)
	p := tiny
	p.instances, p.turns = []int{1, 3}, 2
	b := &bench{plan: p, progress: io.Discard, began: time.Now()}
	r, err := b.run(t.Context(), latency)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range r.Records {
		for _, v := range rec.Rounds {
			if v["errors"] > 0 {
				t.Errorf("%s: %v acquires failed, of a resource that is all its own", rec.Peer, v["errors"])
			}
		}
	}
}
