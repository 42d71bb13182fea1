package redistest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel kill the child when the thread that forked it ends: see [process].
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// stat reads /proc/pid/stat: "123 (redis-server) S 1 …". It returns false if there is no such process.
func stat(pid int) (procStat, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, false
	}
	// The name may have spaces and parentheses of its own; what follows it has none.
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return procStat{}, false
	}
	st := procStat{pid: pid, name: string(line[open+1 : end])}
	_, err = fmt.Sscanf(string(line[end+1:]), " %c %d", &st.state, &st.parent)
	return st, err == nil
}

func allProcs() []procStat {
	var all []procStat
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if st, ok := stat(pid); ok {
			all = append(all, st)
		}
	}
	return all
}
