package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestAnotherLeadsAfterADeathAndAfterAResignation(t *testing.T) {
	t.Parallel()
	stdout := program.Start(t, "").Ends()
	want := regexp.MustCompile(`^(\w+) leads, after \S+ without a leader
(\w+) is killed: .*
(\w+) leads, after \S+ without a leader
(\w+) is interrupted, and releases the lease
(\w+) leads, after \S+ without a leader
$`)
	m := want.FindStringSubmatch(stdout)
	if m == nil || m[1] != m[2] || m[3] != m[4] || m[1] == m[3] || m[3] == m[5] || m[1] == m[5] {
		t.Errorf("no succession of three:\n%s", stdout)
	}
}

func TestOnRealServersTheLeaderIsFollowed(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	urls := strings.Join(redistest.URLs(servers), ",")
	first := program.Start(t, urls, "-name", "first")
	first.Await(`first leads`)
	second := program.Start(t, urls, "-name", "second")
	first.Interrupt()
	if stdout := first.Ends(); stdout != "first leads\nfirst goes\n" {
		t.Errorf("the first said %q", stdout)
	}
	second.Await(`second leads`)
	servers[0].Kill()
	servers[1].Kill()
	second.Await(`second leads no more: lease lost: expired`)
	second.Interrupt()
	second.Ends()
}

func TestInterruptedItLeavesNoCandidate(t *testing.T) {
	t.Parallel()
	p := program.Start(t, "")
	p.Await(`leads`)
	p.Interrupt()
	p.Ends()
}
