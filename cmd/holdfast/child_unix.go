//go:build unix && !linux

package main

import "syscall"

// ownGroup makes a process group of the child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
