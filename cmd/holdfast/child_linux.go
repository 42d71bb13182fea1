package main

import "syscall"

// ownGroup makes a process group of the child, and has the kernel tell the child
// when we are gone without having been able to say so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
