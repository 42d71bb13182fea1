//go:build !unix

package redistest

import (
	"errors"
	"syscall"
)

// Without Unix's signals a server can be started and killed, but not stopped.
var errNoSignals = errors.New("this system cannot stop a process and let it go on")

func (p *process) stop() error { return errNoSignals }
func (p *process) cont() error { return errNoSignals }

// dieWithParent does nothing: servers outlive a test process that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// stat knows of no process.
func stat(int) (procStat, bool) { return procStat{}, false }

// allProcs knows of no processes: what a test leaves behind is not noticed here.
func allProcs() []procStat { return nil }
