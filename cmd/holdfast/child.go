//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// child is the command: a process in a process group of its own.
//
// One goroutine belongs to it, which starts it and waits for it, both on one OS
// thread that nothing else uses: the kernel ties the parent death signal to the
// thread that forked. It ends with the process; its owner reads changes until then.
//
// It waits for all children of ours, since there may be others: orphans of which we
// are the new parent, as PID 1 of a container is, and those of a shell that has become us by exec.
// So nothing else in this process may wait for a child while there is a command.
type child struct {
	pid     int         // of the process and of its group
	whole   bool        // it has not ended before its whole group has
	killed  atomic.Bool // kill has been called: the group is not waited for any more
	changes chan change // sent by the goroutine: each stop, and then the end
}

// change is one that the kernel reports of the process.
type change struct{ status syscall.WaitStatus }

func startChild(path string, argv, env []string, whole bool) (*child, error) {
	cmd := &exec.Cmd{
		Path: path, Args: argv, Env: env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: ownGroup(),
	}
	if whole {
		adopt()
	}
	c := &child{whole: whole, changes: make(chan change)}
	started := make(chan error)
	go c.live(cmd, started)
	return c, <-started
}

// live is the child's goroutine.
func (c *child) live(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err != nil {
		started <- err
		return
	}
	c.pid = cmd.Process.Pid
	started <- nil
	for {
		var status syscall.WaitStatus // exec.Cmd.Wait would not report stops
		pid, err := syscall.Wait4(-1, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR), err == nil && pid != c.pid:
			continue
		case err != nil: // cannot happen: it is our child, and nobody else waits for it
			status = unknownEnd
		}
		if c.whole && !status.Stopped() {
			c.outlast()
		}
		c.changes <- change{status}
		if !status.Stopped() {
			return
		}
	}
}

// lookEvery is the pause between two looks at a group that is waited for: of the
// end of what is not our child the kernel does not tell us.
const lookEvery = 50 * time.Millisecond

// outlast waits until nobody is left of the group, or it was killed.
func (c *child) outlast() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		reap()
		if c.groupIsGone() || c.killed.Load() {
			return
		}
		select {
		case <-ended:
		case <-look.C:
		}
	}
}

// reap takes note of all children that have ended.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// reaping reaps until what it returns is called: orphans may come while there is no
// command yet. That may be called twice.
func reaping() (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	over := make(chan struct{})
	var reaper sync.WaitGroup
	reaper.Go(func() {
		for {
			reap()
			select {
			case <-ended:
			case <-over:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		signal.Stop(ended)
		close(over)
		reaper.Wait()
	})
}

// signal sends to the whole group. That there is nobody left is no error.
func (c *child) signal(sig syscall.Signal) { _ = syscall.Kill(-c.pid, sig) }

// kill kills the whole group.
func (c *child) kill() {
	c.killed.Store(true)
	c.signal(syscall.SIGKILL)
}

// groupIsGone reports whether nobody is left of the group.
func (c *child) groupIsGone() bool { return errors.Is(syscall.Kill(-c.pid, 0), syscall.ESRCH) }

// goneEvery is the same for a group that is to end.
const goneEvery = 5 * time.Millisecond

// awaitGroup waits until the group is gone, and kills what is left at the given
// time. A number is given to a new group only when nobody of the old one is left.
func (c *child) awaitGroup(until time.Time) {
	for reap(); !c.groupIsGone(); reap() {
		if !time.Now().Before(until) {
			c.kill()
			return
		}
		time.Sleep(goneEvery)
	}
}

// unknownEnd is exit code 255, as the kernel reports it.
const unknownEnd = syscall.WaitStatus(255 << 8)

// exitStatus is the code that a shell would have: 128 and the number for a signal.
func exitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return status.ExitStatus()
}
