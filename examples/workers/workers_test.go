package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestEachJobIsDoneOnce(t *testing.T) {
	t.Parallel()
	once(t, program.Start(t, "").Ends())
}

func TestTwoProcessesShareTheJobs(t *testing.T) {
	t.Parallel()
	urls := strings.Join(redistest.URLs(redistest.StartN(t, 3)), ",")
	dir, err := newJobs(24)
	if err != nil {
		t.Fatalf("newJobs: %v", err)
	}
	defer os.RemoveAll(dir)
	one, two := program.Start(t, urls, "-dir", dir), program.Start(t, urls, "-dir", dir)
	once(t, one.Ends()+two.Ends())
	if done, err := filepath.Glob(filepath.Join(dir, "done", "job-*")); err != nil || len(done) != 24 {
		t.Errorf("%d jobs are done: %v", len(done), err)
	}
}

// once fails the test unless each of the 24 jobs was begun once, and done once.
func once(t *testing.T, output string) {
	t.Helper()
	for _, verb := range []string{"begins", "has done"} {
		times := make(map[string]int)
		for _, m := range regexp.MustCompile(verb+` (job-\d\d)\n`).FindAllStringSubmatch(output, -1) {
			times[m[1]]++
		}
		for job, n := range times {
			if n != 1 {
				t.Errorf("somebody %s %s %d times", verb, job, n)
			}
		}
		if len(times) != 24 {
			t.Errorf("somebody %s %d jobs", verb, len(times))
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}

// Interrupted, a worker gives its jobs back unfinished.
func TestInterruptedItLeavesNoLock(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	p := program.Start(t, strings.Join(redistest.URLs(servers), ","))
	p.Await(`begins`)
	p.Interrupt()
	p.Ends()
	for n, s := range servers {
		if keys := s.Keys(); len(keys) != 0 {
			t.Errorf("it has left %q on server %d", keys, n)
		}
	}
}
