//go:build unix

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Of a cluster every master is looked through: it has its part of the names.
func TestListLooksThroughEveryMaster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, false)
	want := []string{"job:a", "job:b", "job:c", "job:d", "job:e", "job:f"}
	for _, name := range want {
		for _, key := range []string{name, "other:" + name} {
			c.Owner(c.Slot(key)).Set(key, "ann~"+strings.Repeat("A", 26), time.Minute)
		}
	}
	l := new(listAction)
	if _, err := parse(newFlagSet("list", l), []string{"--redis", "redis-cluster://" + strings.Join(c.Addrs(), ",")}); err != nil {
		t.Fatalf("parse: %v", err)
	}
	found, err := l.search(t.Context(), "job:")
	if err != nil || len(found.failed)+len(found.cut) > 0 {
		t.Fatalf("list: got %+v, %v, want nothing failed or cut", found, err)
	}
	if got := strings.Join(found.names(), " "); got != strings.Join(want, " ") {
		t.Errorf("it has found %s", got)
	}
}
