package main

import "syscall"

// detached has the kernel kill the child when this program dies, whatever it dies of (see process.run), and keeps an
// interrupt from the terminal away from it: the program ends its children itself.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
