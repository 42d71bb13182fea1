package redistest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/internal/testkit"
)

func TestServersDieWithAKilledTestProcess(t *testing.T) {
	requireRedis(t)
	t.Parallel()
	// A killed process removes nothing, so its directories go where we can.
	tmp, err := os.MkdirTemp("", "hf-")
	if err != nil {
		t.Fatalf("os.MkdirTemp: %v", err)
	}
	defer os.RemoveAll(tmp)
	cmd := helper(t, "hang", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("cmd.StdoutPipe: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cmd.Start: %v", err)
	}
	var pids [2]int
	for lines := bufio.NewScanner(out); pids[1] == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "pids %d %d", &pids[0], &pids[1])
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()

	for _, pid := range pids {
		if pid == 0 {
			t.Fatal("the helper started no servers")
		}
		testkit.Eventually(t, fmt.Sprintf("server %d has died", pid), func() bool {
			st, ok := stat(pid)
			return !ok || st.state == 'Z' || !isServer(st.name) // not everywhere does init reap
		})
	}
}

// The parent death signal goes by threads. A server must not die with the thread on which a test happened to start it.
func TestServerOutlivesTheThreadOfItsStarter(t *testing.T) {
	t.Parallel()
	requireRedis(t)
	for range 10 {
		s := newServer(t, nil)
		if err := s.listenUnix(); err != nil {
			t.Fatalf("s.listenUnix: %v", err)
		}
		thread := make(chan int, 1)
		failed := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			thread <- syscall.Gettid()
			failed <- s.start()
		}()
		if err := <-failed; err != nil {
			t.Fatalf("start a server on a thread that ends: %v", err)
		}
		tid := <-thread
		if tid == os.Getpid() {
			continue // the main thread cannot end
		}
		testkit.Eventually(t, "the thread has ended", func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
			return os.IsNotExist(err)
		})
		if pong := s.MustDo("PING"); pong != "PONG" {
			t.Fatalf("PING: %v", pong)
		}
	}
}

func TestStatReadsNamesThatLookLikeStat(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	odd := filepath.Join(t.TempDir(), "a) T 1 (b")
	if err := os.Symlink(sleep, odd); err != nil {
		t.Fatalf("os.Symlink: %v", err)
	}
	p, err := spawn(exec.Command(odd, "60"))
	if err != nil {
		t.Fatalf("spawn: %v", err)
	}
	defer p.kill()
	// During its exec the child still has our name for a moment.
	testkit.Eventually(t, "it is seen running, by its name, as our child", func() bool {
		st, ok := stat(p.pid())
		return ok && st.name == filepath.Base(odd) && st.state != 'T' && st.parent == os.Getpid()
	})
}
