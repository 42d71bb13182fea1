//go:build unix

package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// tests are testing.M, with the checks for what they leave behind.
type tests struct{ *testing.M }

func (t tests) Run() int { return redistest.Run(t.M) }

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"holdfast": main,
		"exitcode": func() { os.Exit(exitcode()) },
	})
}

// exitcode is a program for scripts: exitcode [-pid FILE] PROGRAM ARGS… runs the
// program, writes its pid to the file, and prints "exit N" when it has ended.
func exitcode() int {
	pidFile := flag.String("pid", "", "")
	flag.Parse()
	hearHangUps()
	cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Start()
	if err == nil && *pidFile != "" {
		err = os.WriteFile(*pidFile, fmt.Appendln(nil, cmd.Process.Pid), 0o600)
	}
	if err == nil {
		go passInterrupts(cmd.Process) // ends with us
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "exitcode:", err)
		return 1
	case !cmd.ProcessState.Exited():
		fmt.Println(cmd.ProcessState)
		return 0
	}
	fmt.Println("exit", cmd.ProcessState.ExitCode())
	return 0
}

// hearHangUps lets the program hear of SIGHUP although the tests do not, as under nohup: what is ignored when a process
// begins, its children ignore as well, unless it has asked for it.
func hearHangUps() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) }

// passInterrupts is for a script that fails: it ends what runs in the background
// by an interrupt.
func passInterrupts(p *os.Process) {
	in := make(chan os.Signal, 1)
	signal.Notify(in, os.Interrupt)
	<-in
	_ = p.Signal(os.Interrupt)
}

// Every script in testdata runs with three servers of its own, whose URLs are in
// HOLDFAST_REDIS and, one by one, in $R1, $R2 and $R3; $S1, $S2 and $S3 are their
// sockets.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			servers := redistest.StartN(t, 3)
			env.Values[serversKey{}] = servers
			env.Setenv("GORACE", quickExit)
			env.Setenv(environment, strings.Join(redistest.URLs(servers), " "))
			env.Setenv(firstDeployment, "1") // that is what they are
			for n, s := range servers {
				env.Setenv("R"+strconv.Itoa(n+1), s.URL())
				env.Setenv("S"+strconv.Itoa(n+1), s.Addr())
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "pidns" {
				return false, fmt.Errorf("there is no condition %s", name)
			}
			return pidNamespaces(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"connected":  connected,
			"free":       free,
			"gone":       gone,
			"only-child": onlyChild,
			"orphan":     orphan,
			"ran":        ran,
			"redis":      redisDo,
			"server":     func(ts *testscript.TestScript, _ bool, args []string) { startServer(t, ts, args) },
			"signal":     sendSignal,
			"pending":    pending,
			"stopped":    stopped,
			"usage":      wrong,
			"waitfor":    waitFor,
		},
	})
}

// pidNamespaces reports whether somebody here may be PID 1 of a namespace.
var pidNamespaces = sync.OnceValue(func() bool {
	return exec.Command("unshare", "-pf", "--mount-proc", "nsenter", "-p", "-t", "1", "true").Run() == nil
})

// quickExit takes away the second for which programs with a race detector sleep
// before they exit, in case that another goroutine has something to report.
const quickExit = "atexit_sleep_ms=0"

// serversKey is where a script's servers are kept.
type serversKey struct{}

// serversOf are those of this script.
func serversOf(ts *testscript.TestScript) []*redistest.Server {
	return ts.Value(serversKey{}).([]*redistest.Server)
}

// waitFor is: waitfor FILE [PATTERN]. It waits for a file that has a whole line
// that the pattern matches, any by default.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(`(?m)` + strings.Join(args[1:], " "))
	testkit.Eventually(ts, strings.Join(args, " "), func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("read %s: %v", args[0], err)
		}
		whole := text[:strings.LastIndexByte(string(text), '\n')+1]
		return len(whole) > 0 && pattern.Match(whole)
	})
}

func pidIn(ts *testscript.TestScript, file string) int {
	waitFor(ts, false, []string{file})
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(file)))
	ts.Check(err)
	return pid
}

// sendSignal is: signal NAME PIDFILE.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	sig := unix.SignalNum("SIG" + args[0])
	if sig == 0 {
		ts.Fatalf("there is no signal %s", args[0])
	}
	ts.Check(syscall.Kill(pidIn(ts, args[1]), sig))
}

// gone is: gone PIDFILE. It waits until the process has ended.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidIn(ts, args[0])
	testkit.Eventually(ts, fmt.Sprintf("process %d is gone", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil { // an orphan that nobody reaps is gone, too
			return strings.Contains(string(stat), ") Z ")
		}
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
}

// onlyChild is: only-child PIDFILE CHILDSFILE. It waits until the process has a child,
// and writes the child's pid to the other file.
func onlyChild(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidIn(ts, args[0])
	var child []byte
	testkit.Eventually(ts, fmt.Sprintf("process %d has a child", pid), func() bool {
		child, _ = os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		return len(child) > 0
	})
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), fmt.Appendln(nil, strings.TrimSpace(string(child))), 0o600))
}

// orphan is: orphan PIDFILE. It waits until the process has lost its parent, a shell.
func orphan(ts *testscript.TestScript, _ bool, args []string) {
	status := fmt.Sprintf("/proc/%d/status", pidIn(ts, args[0]))
	testkit.Eventually(ts, "it is an orphan: "+args[0], func() bool {
		text, err := os.ReadFile(status)
		ts.Check(err)
		parent := regexp.MustCompile(`(?m)^PPid:\t(.*)$`).FindSubmatch(text)
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%s/comm", parent[1]))
		return err == nil && string(comm) != "sh\n"
	})
}

// stopped is: stopped PIDFILE. It waits until the process is stopped.
func stopped(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidIn(ts, args[0])
	testkit.Eventually(ts, fmt.Sprintf("process %d is stopped", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		ts.Check(err)
		return strings.Contains(string(stat), ") T ")
	})
}

// pending is: pending PIDFILE. It waits until a HUP has arrived at a process that is
// stopped, and so has not taken it yet.
func pending(ts *testscript.TestScript, _ bool, args []string) {
	pid := pidIn(ts, args[0])
	arrived := regexp.MustCompile(`ShdPnd:\t[0-9a-f]*[13579bdf]\n`) // HUP is the first bit
	testkit.Eventually(ts, fmt.Sprintf("process %d has got a HUP", pid), func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		ts.Check(err)
		return arrived.Match(status)
	})
}

// startServer is: server NAME ARGS…. It starts one more server, on a port, whose
// address is in $NAME then.
func startServer(t *testing.T, ts *testscript.TestScript, args []string) {
	ts.Setenv(args[0], redistest.StartTCP(t, args[1:]...).Addr())
}

// redisDo is: redis N pause|resume|kill|restart|COMMAND…, to the server with this
// number, or to "all". The reply is on standard output.
func redisDo(ts *testscript.TestScript, neg bool, args []string) {
	servers := serversOf(ts)
	if args[0] != "all" {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		servers = servers[n-1 : n]
	}
	for _, s := range servers {
		switch args[1] {
		case "pause":
			s.Pause()
		case "resume":
			s.Resume()
		case "kill":
			s.Kill()
		case "restart":
			s.Restart()
		default:
			reply, err := s.Do(args[1:]...)
			if (err != nil) != neg {
				ts.Fatalf("redis: %v", err)
			}
			fmt.Fprintln(ts.Stdout(), reply)
		}
	}
}

// free is: free KEY. No server has the key, long before it would expire.
func free(ts *testscript.TestScript, _ bool, args []string) {
	for n, s := range serversOf(ts) {
		for giveUp := time.Now().Add(3 * time.Second); s.Get(args[0]) != ""; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(giveUp) {
				ts.Fatalf("server %d still has %s, for another %v", n+1, args[0], s.PTTL(args[0]))
			}
		}
	}
}

// ran is: ran N COMMAND. It waits until the server has executed that command
// since its statistics were reset.
func ran(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := serversOf(ts)[n-1]
	testkit.Eventually(ts, "server "+strings.Join(args, " has run "), func() bool {
		info, _ := s.MustDo("INFO", "commandstats").(string)
		return strings.Contains(info, "cmdstat_"+args[1]+":")
	})
}

// connected is: connected PIDFILE…. It waits until each process has a connection
// to each server, after which it takes signals in its own way.
func connected(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		pid := pidIn(ts, file)
		testkit.Eventually(ts, fmt.Sprintf("process %d is connected", pid), func() bool {
			sockets := 0
			fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			for _, fd := range fds {
				if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
					sockets++
				}
			}
			return sockets >= 3
		})
	}
}

// wrong is: usage PATTERN. The last program ended with exit code 64 and one line
// on standard error, which the pattern matches, and which shows no secret.
func wrong(ts *testscript.TestScript, _ bool, args []string) {
	out, text := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	switch {
	case out != "exit 64\n":
		ts.Fatalf("want exit code 64, got %q", out)
	case strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "holdfast"):
		ts.Fatalf("want one line, got %q", text)
	case !regexp.MustCompile(args[0]).MatchString(text):
		ts.Fatalf("%q does not match %s", text, args[0])
	case strings.Contains(text, "s3cr3t"):
		ts.Fatalf("it shows a secret: %q", text)
	}
}
