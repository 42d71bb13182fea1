package redistest

import (
	"os/exec"
	"runtime"
	"time"
)

// pollEvery is the pause between two looks at a process, for the things of which the system does not notify us.
const pollEvery = 2 * time.Millisecond

// process is one run of a command, from its start to its reaping.
//
// One goroutine belongs to it: run. It starts the command and waits for it, both on one OS thread that nothing else may
// use in between. The thread matters because the kernel ties the parent death signal to the thread that forked and not
// to its process. Go ends threads when it likes (with a goroutine that exits locked to its thread, for one), and a
// server forked from a passing goroutine would then be killed in mid-test. As it is, the thread lives exactly as long
// as it has a child to lose, and the whole needs no global state and no shutdown.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed by run: the process is dead and reaped, or was never born
}

// spawn starts cmd as a process that dies with this one.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = dieWithParent()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run is started by spawn and ends with the process. started takes one value.
func (p *process) run(started chan<- error) {
	defer close(p.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the child is reaped: nothing hangs on this thread any more
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // says how it died, and that is by our hand
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill returns when the process is dead and reaped. It is fine on a dead one. SIGKILL also ends a stopped process, so
// there is no SIGCONT before it: that would let the server execute what has queued up meanwhile.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only on a process that has ended
	<-p.done
}
