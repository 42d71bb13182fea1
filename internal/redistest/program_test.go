package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Servers that are started together run what the setting lists, one after the other; one that is started alone runs the
// first. Each is known by its name, so that one that is left behind is found.
func TestServersRunThePrograms(t *testing.T) {
	requireRedis(t)
	program, err := exec.LookPath(programOf(0))
	if err != nil {
		t.Fatalf("exec.LookPath: %v", err)
	}
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one-server"), filepath.Join(dir, "two-server")
	for _, link := range []string{one, two} {
		if err := os.Symlink(program, link); err != nil {
			t.Fatalf("os.Symlink: %v", err)
		}
	}
	t.Setenv(setting, one+string(filepath.ListSeparator)+two)
	servers := append(StartN(t, 3), Start(t), StartTCP(t))
	for i, want := range []string{one, two, one, one, one} {
		if info := servers[i].MustDo("INFO", "server").(string); !strings.Contains(info, "\r\nexecutable:"+want+"\r\n") {
			t.Errorf("server %d: want the program %s, got %s", i, want, info)
		}
	}
	if n := len(orphans()); n < len(servers) {
		t.Errorf("%d of our %d servers are found by their names", n, len(servers))
	}
}

// The server that answers is of the version that the program says it is.
func TestServersAreOfTheVersionOfTheirPrograms(t *testing.T) {
	t.Parallel()
	for i, s := range StartN(t, len(programs())) {
		out, err := exec.Command(programOf(i), "--version").Output()
		if err != nil {
			t.Fatalf("%s --version: %v", programOf(i), err)
		}
		said := regexp.MustCompile(`v=([0-9.]+)`).FindSubmatch(out)
		if said == nil {
			t.Fatalf("%s --version says %q, want a v= in it", programOf(i), out)
		}
		t.Logf("server %d: %s", i, out)
		if info := s.MustDo("INFO", "server").(string); !strings.Contains(info, "_version:"+string(said[1])+"\r\n") {
			t.Errorf("server %d: want version %s, got %s", i, said[1], info)
		}
	}
}
