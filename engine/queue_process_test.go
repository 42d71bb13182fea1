//go:build unix

package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// The variables that tell a test process that it is one that waits: where, and with how many engines.
const (
	waiterServers = "HOLDFAST_WAITER_SERVERS"
	waiterEngines = "HOLDFAST_WAITER_ENGINES"
)

// TestWaiterProcess is a process that waits for r with some engines, each with connections of its own. Whichever is
// served prints its token, and holds the lock until the standard input ends.
func TestWaiterProcess(t *testing.T) {
	urls := os.Getenv(waiterServers)
	if urls == "" {
		t.Skip("is run by other tests, as another process")
	}
	n, err := strconv.Atoi(os.Getenv(waiterEngines))
	if err != nil {
		t.Fatalf("%s: %v", waiterEngines, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends with the standard input, or with this process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var all sync.WaitGroup
	for range n {
		e, err := engine.Open(ctx, strings.Split(urls, ","), engine.Config{})
		if err != nil {
			t.Fatalf("engine.Open: %v", err)
		}
		all.Go(func() {
			defer func() { _ = e.Close(context.Background()) }()
			l, err := e.Acquire(ctx, "r")
			if err != nil {
				return
			}
			fmt.Println("token", l.Token())
			<-ctx.Done()
			release(t, l)
		})
	}
	all.Wait()
}

// waiterProcess is such a process.
type waiterProcess struct {
	cmd    *exec.Cmd
	end    io.Closer
	tokens chan string // one slot an engine; closed with the process
}

// startWaiters starts a process that waits with so many engines, and returns when all have their places, behind
// those that have theirs already.
func startWaiters(t *testing.T, servers []*redistest.Server, engines int) *waiterProcess {
	t.Helper()
	p := &waiterProcess{cmd: exec.Command(os.Args[0], "-test.run=^TestWaiterProcess$"), tokens: make(chan string, engines)}
	p.cmd.Env = append(os.Environ(), waiterServers+"="+strings.Join(redistest.URLs(servers), ","), waiterEngines+"="+strconv.Itoa(engines))
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("cmd.StdinPipe: %v", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("cmd.StdoutPipe: %v", err)
	}
	p.end = in
	before := places(servers)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cmd.Start: %v", err)
	}
	go func() { // ends with the process
		defer close(p.tokens)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if token, ok := strings.CutPrefix(lines.Text(), "token "); ok {
				p.tokens <- token
			}
		}
	}()
	t.Cleanup(p.kill)
	eventually(t, fmt.Sprintf("%d engines of another process have their places", engines), func() bool {
		return places(servers) == before+int64(engines)
	})
	return p
}

func (p *waiterProcess) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// stop returns when the whole process is stopped. The kernel gets round to that, and until then its threads go on.
func (p *waiterProcess) stop(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	for !status.Stopped() {
		if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil && err != syscall.EINTR {
			t.Fatalf("waiting until it is stopped: %v", err)
		}
	}
}

// kill ends the process as a crash does.
func (p *waiterProcess) kill() {
	p.signal(syscall.SIGKILL)
	for range p.tokens { // until its end
	}
	_ = p.cmd.Wait()
}

// servedWithin waits for the result of an acquire, and fails the test when it comes too late.
func servedWithin(t *testing.T, what string, results <-chan result, at time.Duration) result {
	t.Helper()
	begun := time.Now()
	r := <-results
	if r.err != nil {
		t.Fatalf("%s: %v", what, r.err)
	}
	if took := r.at.Sub(begun); took > at {
		t.Errorf("%s is served after %v, want %v at most", what, took, at)
	}
	return r
}

// A process that is killed costs those behind it one life of a place, with however many places it had.
func TestProcessThatIsKilledCostsOneLife(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel() // it waits most of the time
			servers := redistest.StartN(t, n)
			held := acquire(t, open(t, servers, engine.Config{}), "r")
			dead := startWaiters(t, servers, 50)
			next := acquiring(within(t), open(t, servers, engine.Config{}), "r")
			eventually(t, "the living one has its place", func() bool { return places(servers) == 51 })
			dead.kill()
			release(t, held)
			r := servedWithin(t, "the next living one", next, placeLife*3/2)
			eventually(t, "the dead have no places any more", func() bool { return places(servers) <= 1 }) // its own
			release(t, r.lease)
			eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
		})
	}
}

// A process that is stopped when its turn comes is passed over. When it goes on it stands at the end, and has the
// lock only when a quorum has granted it.
func TestProcessThatIsStoppedInItsTurnIsPassedOver(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel() // it waits most of the time
			servers := redistest.StartN(t, n)
			held := acquire(t, open(t, servers, engine.Config{}), "r")
			frozen := startWaiters(t, servers, 1)
			line := make([]<-chan result, 2)
			for k := range line {
				line[k] = acquiring(within(t), open(t, servers, engine.Config{}), "r")
				eventually(t, "the one behind has its place", func() bool { return places(servers) == int64(k+2) })
			}
			frozen.stop(t)
			release(t, held)
			second := servedWithin(t, "the one behind the stopped one", line[0], placeLife*3/2).lease
			time.Sleep(placeLife + 2*keeping)
			frozen.signal(syscall.SIGCONT)
			eventually(t, "it stands in the queue again", func() bool { return places(servers) == 2 })
			select {
			case token := <-frozen.tokens:
				t.Fatalf("it says that it holds the lock (%s), as another does", token)
			default:
			}
			everywhere(t, servers, second)
			release(t, second)
			third := servedWithin(t, "the one that stood in line", line[1], placeLife).lease
			everywhere(t, servers, third)
			select {
			case token := <-frozen.tokens:
				t.Fatalf("it was served (%s) before the one that stood in line", token)
			default:
			}
			release(t, third)
			token := <-frozen.tokens
			for _, s := range servers {
				eventually(t, "the servers have the token of the one that went on", func() bool { return s.Get("r") == token })
			}
			_ = frozen.end.Close()
			eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
		})
	}
}
