//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endPatience bounds the end of a client: its last lock, and closing.
const endPatience = lastPatience + 20*time.Second

// process is one client process.
type process struct {
	cmd   *exec.Cmd
	input io.WriteCloser // its end says that the faults are over
	done  chan error     // one slot: how it ended
}

// spawn starts a client. It dies with this process: hence the one thread for all
// of its life, which the kernel ties that to.
func spawn(o orders) (*process, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(os.Args[0]), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), ordersVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.done <- p.cmd.Wait()
		}
	}()
	return p, <-started
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the client as a crash would.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
	_ = p.input.Close()
}

// end tells the client that the faults are over, and waits for its end.
func (p *process) end() error {
	_ = p.input.Close()
	select {
	case err := <-p.done:
		return err
	case <-time.After(endPatience):
		p.signal(syscall.SIGABRT) // shows what it waits for
		<-p.done
		return fmt.Errorf("it did not end within %v", endPatience)
	}
}

// crew is the clients of one run. A client that is killed is replaced.
type crew struct {
	t      *testing.T
	orders orders
	dir    string

	members  []*process
	launched int
}

func (c *crew) launch() *process {
	c.t.Helper()
	c.launched++
	o := c.orders
	o.Name = fmt.Sprintf("client-%d", c.launched)
	o.History = filepath.Join(c.dir, o.Name)
	o.Seed += uint64(c.launched)
	p, err := spawn(o)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *crew) start(n int) {
	for range n {
		c.members = append(c.members, c.launch())
	}
}

// end ends all of them.
func (c *crew) end() {
	c.t.Helper()
	var ends sync.WaitGroup
	for k, p := range c.members {
		ends.Go(func() {
			if err := p.end(); err != nil {
				c.t.Errorf("client at place %d: %v", k, err)
			}
		})
	}
	ends.Wait()
	c.members = nil
}

// histories is what all clients have written, also those that were killed.
func (c *crew) histories() (events []event) {
	c.t.Helper()
	for _, path := range c.files() {
		history, err := readHistory(path)
		if err != nil {
			c.t.Error(err)
		}
		events = append(events, history...)
	}
	return events
}

// acquires counts the leases in the histories without reading all of them.
func (c *crew) acquires() (n int) {
	c.t.Helper()
	for _, path := range c.files() {
		text, err := os.ReadFile(path)
		if err != nil {
			c.t.Error(err)
		}
		n += bytes.Count(text, []byte(`{"Kind":"acquired"`))
	}
	return n
}

// files are the histories. A client that was killed early has none.
func (c *crew) files() []string {
	paths, _ := filepath.Glob(filepath.Join(c.dir, "client-*")) // fails for bad patterns only
	return paths
}

// close leaves no process behind, whatever has happened.
func (c *crew) close() {
	for _, p := range c.members {
		p.kill()
	}
}
