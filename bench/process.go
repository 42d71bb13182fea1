package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child of this program: a server, or one more of ourselves. It dies with this program.
type process struct {
	cmd  *exec.Cmd
	dead chan struct{} // closed by run: the process is reaped, or was never born
}

func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = detached()
	p := &process{cmd: cmd, dead: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run starts the process and reaps it. spawn starts it, the process's end ends it, kill waits for it. Both happen on
// one OS thread that nothing else may use in between, since the kernel kills the child when the thread that forked it
// ends: so it dies with this program, but not with a passing goroutine's thread.
func (p *process) run(started chan<- error) {
	defer close(p.dead)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the child is reaped: nothing hangs on this thread any more
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // says how it died, and that is by our hand
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// pause stops the process: connections stay open, and nobody gets an answer.
func (p *process) pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// resume lets it run on.
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// kill returns when the process is dead and reaped, stopped or not.
func (p *process) kill() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // fails only on a process that has ended
	}
	<-p.dead
}
