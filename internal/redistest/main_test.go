package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestHelper is not a test: it is what other tests run as a test process of its own, in the role they give it.
func TestHelper(t *testing.T) {
	switch role := os.Getenv("REDISTEST_HELPER"); role {
	case "":
		t.Skip("only run by other tests")
	case "start":
		Start(t)
	case "hang":
		servers := StartN(t, 2)
		servers[1].Pause() // a stopped process must die as well
		fmt.Println("pids", servers[0].Pid(), servers[1].Pid())
		select {}
	case "leak process":
		s := &Server{t: t, program: programOf(0), dir: t.TempDir()} // without the cleanup that newServer registers
		if err := errors.Join(s.listenTCP(), s.start()); err != nil {
			t.Fatalf("start a server: %v", err)
		}
	case "leak goroutine":
		go func() { select {} }()
	default:
		t.Fatalf("no such role: %s", role)
	}
}

// helper is the command that runs TestHelper in a role.
func helper(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("os.Executable: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestHelper$", "-test.v")
	cmd.Env = append(append(os.Environ(), "REDISTEST_HELPER="+role), env...)
	return cmd
}

func TestMissingRedisFailsLoudly(t *testing.T) {
	t.Parallel()
	for _, ci := range []string{"", "true"} {
		out, err := helper(t, "start", "PATH="+t.TempDir(), setting+"=", "CI="+ci).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL: TestHelper") {
			t.Errorf("CI=%q: %v:\n%s", ci, err, out)
		}
		if !strings.HasPrefix(strings.TrimSpace(string(out)), "*** redistest") || strings.Count(string(out), "make redis") != 2 {
			t.Errorf("CI=%q: want the loud line first, and the hint in the test too:\n%s", ci, out)
		}
	}
}

func TestMainFindsWhatTestsLeaveBehind(t *testing.T) {
	requireRedis(t)
	t.Parallel()
	for role, want := range map[string]string{
		"leak process":   "redistest: redis-server left behind: [",
		"leak goroutine": "goleak: found unexpected goroutines",
	} {
		out, err := helper(t, role).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "PASS") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want tests that pass and %q in:\n%s", role, err, want, out)
		}
	}
}
