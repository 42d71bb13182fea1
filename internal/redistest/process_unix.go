//go:build unix

package redistest

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// stopTimeout bounds the wait for a process to become stopped, which takes microseconds.
const stopTimeout = 10 * time.Second

// stop returns when the process is stopped. A signal is delivered only when the kernel gets round to it, and until then
// the server goes on answering.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	giveUp := time.Now().Add(stopTimeout)
	for {
		if st, ok := stat(p.pid()); ok && st.state == 'T' {
			return nil
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("not stopped after %v", stopTimeout)
		}
		select {
		case <-p.done:
			return errors.New("it has ended")
		case <-time.After(pollEvery):
		}
	}
}

// cont lets a stopped process run on.
func (p *process) cont() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
