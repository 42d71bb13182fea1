// Package program runs an example in its tests, as a process of its own.
//
// The process is the test's own binary, which is the program instead of its tests
// when it is told to. So it is the program as built for the test that runs, with the
// race detector if the test has it.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

// asProgram tells the test's binary what to be. Processes that the program starts
// are the program, too.
const asProgram = "HOLDFAST_EXAMPLE_AS_PROGRAM"

// leaked is the exit code of a program that has done its work but left goroutines.
const leaked = 3

// patience is for a loaded machine. The programs end within seconds.
const patience = 2 * time.Minute

// Main is the TestMain of an example:
//
//	func TestMain(m *testing.M) { program.Main(m, main) }
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) == "" {
		redistest.Main(m)
	}
	main() // exits by itself after an error
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		os.Exit(leaked)
	}
	os.Exit(0)
}

// Program is a process that runs the example.
type Program struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout output
	stderr bytes.Buffer  // to be read after ended
	ended  chan struct{} // closed when the process is gone and all that it said is here
}

// Run runs the example from beginning to end. urls is HOLDFAST_REDIS, "" for
// servers of its own.
func Run(t testing.TB, urls string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	return Start(t, urls, args...).Wait()
}

// Start starts the example. It is killed at the end of the test, or when it takes
// far too long.
func Start(t testing.TB, urls string, args ...string) *Program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p := &Program{t: t, cmd: exec.CommandContext(ctx, os.Args[0], args...), ended: make(chan struct{})}
	p.stdout.grown = make(chan struct{})
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "HOLDFAST_REDIS="+urls)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.WaitDelay = time.Second // what it has started may hold its output open
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start the program: %v", err)
	}
	go func() { // ends with the process; the cleanup waits for it
		defer close(p.ended)
		_ = p.cmd.Wait() // the exit code says all
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	return p
}

// Await waits until the program has said something, and returns what matched: the
// first time in all that it has said. It fails the test when the program ends
// before.
func (p *Program) Await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for over := false; ; {
		text, grown := p.stdout.look()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		if over {
			p.t.Fatalf("the program ended without saying %q:\n%s\n%s", pattern, text, p.stderr.String())
		}
		select {
		case <-grown:
		case <-p.ended:
			over = true // look once more
		}
	}
}

// Interrupt is ^C.
func (p *Program) Interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("interrupt the program: %v", err)
	}
}

// Wait waits until the program ends.
func (p *Program) Wait() (stdout, stderr string, exit int) {
	<-p.ended
	text, _ := p.stdout.look()
	return text, p.stderr.String(), p.cmd.ProcessState.ExitCode()
}

// Ends fails the test unless the program ends well and says nothing on standard
// error. It returns what it has said.
func (p *Program) Ends() string {
	p.t.Helper()
	stdout, stderr, exit := p.Wait()
	if exit != 0 || stderr != "" {
		p.t.Errorf("exit %d, and on standard error: %s\nafter: %s", exit, stderr, stdout)
	}
	return stdout
}

// output is what a process has said so far.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed, and replaced, when there is more
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.grown
}
