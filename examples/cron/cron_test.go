package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// patience bounds the wait for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { program.Main(m, main) }

func TestNoTickRunsTwice(t *testing.T) {
	t.Parallel()
	onceEach(t, program.Start(t, "").Ends())
}

func TestProcessesRunEachTickOnce(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	urls := strings.Join(redistest.URLs(servers), ",")
	one, two := program.Start(t, urls), program.Start(t, urls)
	one.Await(`(?s)runs.*runs.*\n|skips`)
	one.Interrupt()
	first := one.Ends()
	two.Await(`runs`) // at the latest when it is alone
	two.Interrupt()
	onceEach(t, first+two.Ends())
	for n, s := range servers { // what is left goes by itself, soon
		for giveUp := time.Now().Add(patience); len(s.Keys()) != 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(giveUp) {
				t.Fatalf("it has left %q on server %d", s.Keys(), n)
			}
		}
	}
}

func TestABadIntervalIsRefused(t *testing.T) {
	t.Parallel()
	if _, stderr, exit := program.Run(t, "", "-every", "1ms"); exit != 1 || stderr != "cron: -every 1ms: must be 100ms or more\n" {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
}

// onceEach fails the test if a tick was run twice, unless it was broken off before.
// That one was run by nobody is a slow machine's fault, and said.
func onceEach(t *testing.T, output string) {
	t.Helper()
	runs := make(map[string]int)
	for _, m := range regexp.MustCompile(`(runs|breaks off) ([\d:.]+\d)`).FindAllStringSubmatch(output, -1) {
		if m[1] == "runs" {
			runs[m[2]]++
		} else {
			runs[m[2]]--
		}
	}
	for tick, n := range runs {
		if n > 1 {
			t.Errorf("the tick %s was run %d times", tick, n)
		}
	}
	if len(runs) == 0 && !strings.Contains(output, "skips") {
		t.Error("no tick was run, and nobody says why")
	}
	if t.Failed() {
		t.Log(output)
	}
}
