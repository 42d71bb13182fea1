//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is the command: a process in a process group of its own.
//
// One goroutine belongs to it, which starts it and waits for it, both on one OS
// thread that nothing else uses: the kernel ties the parent death signal to the
// thread that forked. It ends with the process; its owner reads changes until then.
type child struct {
	pid     int         // of the process and of its group
	changes chan change // sent by the goroutine: each stop, and then the end
}

// change is one that the kernel reports of the process.
type change struct{ status syscall.WaitStatus }

func startChild(path string, argv, env []string) (*child, error) {
	cmd := &exec.Cmd{
		Path: path, Args: argv, Env: env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: ownGroup(),
	}
	c := &child{changes: make(chan change)}
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
		_, err := syscall.Wait4(c.pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // cannot happen: it is our child, and nobody else waits for it
			status = unknownEnd
		}
		c.changes <- change{status}
		if !status.Stopped() {
			return
		}
	}
}

// signal sends to the whole group. That there is nobody left is no error.
func (c *child) signal(sig syscall.Signal) { _ = syscall.Kill(-c.pid, sig) }

// groupIsGone reports whether nobody is left of the group.
func (c *child) groupIsGone() bool { return errors.Is(syscall.Kill(-c.pid, 0), syscall.ESRCH) }

// goneEvery is the pause between two looks at a group whose leader has ended:
// the kernel tells us of our own child only.
const goneEvery = 5 * time.Millisecond

// awaitGroup waits until the group is gone, and kills what is left at the given
// time. A number is given to a new group only when nobody of the old one is left.
func (c *child) awaitGroup(until time.Time) {
	for !c.groupIsGone() {
		if !time.Now().Before(until) {
			c.signal(syscall.SIGKILL)
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
